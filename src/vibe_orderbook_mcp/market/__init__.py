"""The owner of each instrument: its book, seconds, trades and detectors, and the time they are at. Pure."""
