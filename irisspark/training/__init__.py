"""Trains a model on the cluster by averaging the parameters of its replicas."""
