"""Binance's public spot market data: wire messages, REST, websocket feed."""
