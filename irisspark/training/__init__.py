"""Trains a model on the cluster by averaging the parameters of its replicas."""

from irisspark.training.running import TrainingResult, train

__all__ = ["TrainingResult", "train"]
