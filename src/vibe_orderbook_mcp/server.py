"""What `mcp dev src/vibe_orderbook_mcp/server.py` and `mcp run` load. Nothing starts at import.

The SDK's command loads this file under another name than the package does, so the server itself lives elsewhere.
"""

import sys

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.config import load_settings
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.serve.mcp_server import create_server

try:
    _settings = load_settings()
    set_up_logging(_settings.log_level, _settings.log_format)
    mcp = create_server(_settings)
except ConfigError as error:
    sys.exit(f"Error: {error}")

if __name__ == "__main__":
    mcp.run()
