"""What a model file may make Keras do."""
