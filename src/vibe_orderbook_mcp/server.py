"""The file that `mcp dev src/vibe_orderbook_mcp/server.py` and `mcp run` load. Nothing starts at import.

The SDK's command loads this file under another name than the package does, so the server itself lives elsewhere.
"""

from vibe_orderbook_mcp.serve.serving import server_of_environment

mcp = server_of_environment()

if __name__ == "__main__":
    mcp.run()
