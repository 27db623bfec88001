"""The live feed: its instruments, their connections, and how each gets back into sequence."""
