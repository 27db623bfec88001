"""What is usual for a symbol, measured: hours of its past, rates, bands, measures. Pure."""
