"""The network between the eras, and how Keras 3 writes it down."""
