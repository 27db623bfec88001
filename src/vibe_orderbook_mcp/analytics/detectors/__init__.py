"""Detectors: small state machines that are fed one second at a time (definition sheet 4 and 5)."""
