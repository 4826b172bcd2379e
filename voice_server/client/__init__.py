"""The other end of a call: callers for the command line and the load test."""
