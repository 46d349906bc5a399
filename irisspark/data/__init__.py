"""The rows of a run: files, splits, batches, and what is asked about all of them."""
