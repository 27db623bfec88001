"""The live feed: which instruments are kept, on which connections, and how each gets back into sequence."""
