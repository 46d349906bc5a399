"""The workers' half of training: it takes an iterator, and names no Spark."""
