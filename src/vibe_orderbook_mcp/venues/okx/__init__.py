"""OKX spot and linear swaps: websocket v5 and the public REST interface."""
