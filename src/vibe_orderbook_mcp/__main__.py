"""`python -m vibe_orderbook_mcp` is the console script."""

from vibe_orderbook_mcp.cli import main

if __name__ == "__main__":
    main()
