"""Programs that use one published client each, in that client's own environment."""
