"""OpenAI's engines, and those of servers that speak as it does."""
