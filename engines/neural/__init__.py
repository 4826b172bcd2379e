"""Neural voices on this machine."""
