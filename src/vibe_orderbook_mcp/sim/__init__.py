"""A simulated exchange that speaks Binance's public API over real sockets."""
