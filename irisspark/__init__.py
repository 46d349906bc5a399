"""irisspark: evaluate and train Keras models on CSV files over a Spark cluster."""

__version__ = "0.1.0"
