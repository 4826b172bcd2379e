"""One engine that stands for several."""
