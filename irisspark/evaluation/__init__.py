"""Evaluates a model on the cluster, and writes predictions."""
