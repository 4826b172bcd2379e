"""The published clients of the OpenAI Realtime API, unmodified, against the running server."""
