"""A simulated exchange that speaks the public API of Binance and of other venues over real sockets."""

from vibe_orderbook_mcp.sim.recordings import book_tickers
from vibe_orderbook_mcp.sim.replay import ReplayConfig, ReplayExchange, serve_replay
from vibe_orderbook_mcp.sim.server import SimConfig, SimExchange, serve_sim

__all__ = ["ReplayConfig", "ReplayExchange", "SimConfig", "SimExchange", "book_tickers", "serve_replay", "serve_sim"]
