"""Detectors: small state machines that are fed one second at a time."""
