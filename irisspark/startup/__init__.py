"""Starts Spark and its workers, and imports TensorFlow where it costs least."""
