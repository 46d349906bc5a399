"""The iris data and the script that trains a model on it: something to run at once."""
