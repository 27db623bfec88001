"""The owner of each instrument: its book, seconds, trades, detectors and exchange time. Pure."""
