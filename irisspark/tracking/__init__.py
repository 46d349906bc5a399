"""A run in MLflow: what is said of it, and the process that says it."""
