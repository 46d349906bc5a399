"""What Keras 1, Keras 2 and tf.keras meant, in the words of Keras 3."""
