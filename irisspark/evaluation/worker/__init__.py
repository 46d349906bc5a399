"""The workers' half of an evaluation: it takes an iterator, and names no Spark."""
