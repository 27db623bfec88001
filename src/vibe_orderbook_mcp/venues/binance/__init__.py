"""Binance's public spot market data: wire messages, REST, limits, files of trades."""
