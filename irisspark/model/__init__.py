"""A model as it travels: how it is loaded, what it is, how it runs."""
