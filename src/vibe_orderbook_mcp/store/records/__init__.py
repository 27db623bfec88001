"""Stored bytes: the code of rows, trades and roll-ups, and their keys. Pure."""
