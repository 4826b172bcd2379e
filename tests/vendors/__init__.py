"""Servers that speak the vendors' own wire protocols on this machine, and can be told to fail."""
