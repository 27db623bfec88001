"""A simulated exchange that speaks Binance's public API over real sockets."""

from vibe_orderbook_mcp.sim.recordings import book_tickers
from vibe_orderbook_mcp.sim.replay import ReplayConfig, ReplayExchange, serve_replay
from vibe_orderbook_mcp.sim.server import SimConfig, SimExchange, serve_sim

__all__ = ["ReplayConfig", "ReplayExchange", "SimConfig", "SimExchange", "book_tickers", "serve_replay", "serve_sim"]
