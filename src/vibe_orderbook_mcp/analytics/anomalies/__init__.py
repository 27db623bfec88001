"""Detectors, fed one second at a time, and the answer about what they found. Pure."""
