"""One order book and its proof: sides, synchronisation, comparison with a second copy. Pure."""
