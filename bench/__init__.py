"""Measurements: `make bench`. What they show is in docs/PERFORMANCE.md."""
