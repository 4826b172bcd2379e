"""The OpenAI Realtime dialect: what a client and a call tell each other."""
