"""The words that every room speaks: instruments, events, trades, rows, errors. Pure."""
