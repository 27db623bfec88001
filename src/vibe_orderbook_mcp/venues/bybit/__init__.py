"""Bybit spot and linear perpetuals: websocket v5 and the public REST interface."""
