"""A simulated exchange that speaks Binance's public API over real sockets."""

from vibe_orderbook_mcp.sim.server import SimConfig, SimExchange, serve_sim

__all__ = ["SimConfig", "SimExchange", "serve_sim"]
