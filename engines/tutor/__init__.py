"""The dialogue that needs nobody: lessons, and tools without a model."""
