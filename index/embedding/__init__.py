"""Text to vectors: the port, the default model built from its wheel, any fastembed model, and the twin for tests."""
