"""The types shared by all rooms: instruments, events, trades, rows, errors. Pure."""
