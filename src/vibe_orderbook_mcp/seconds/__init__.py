"""Events into the row of each second: depth, trades, additions and cancellations. Pure."""
