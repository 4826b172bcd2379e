"""The contract, kept by the vendors themselves: `make test-live`, with keys, over the network."""
