"""Parquet: the second reader."""
