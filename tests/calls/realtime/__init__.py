"""Tests of the OpenAI Realtime dialect."""
