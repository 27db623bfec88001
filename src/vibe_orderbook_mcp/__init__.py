"""Live, checked Binance order books with a memory, served to assistants over MCP."""

from importlib.metadata import version

__version__ = version("vibe-orderbook-mcp")
