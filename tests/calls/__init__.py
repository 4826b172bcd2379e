"""Tests of a live call."""
