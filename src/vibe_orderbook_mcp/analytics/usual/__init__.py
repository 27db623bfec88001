"""Usual values of a symbol: hours of its past, rates, bands, measures. Pure."""
