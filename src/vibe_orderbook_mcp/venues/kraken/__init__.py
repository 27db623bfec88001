"""Kraken spot: websocket v2 and the public REST interface."""
