"""Tests of the other end of a call."""
