"""The server as it ships, with one more tool that does nothing: what an answer costs beyond the SDK and the transport.

python -m bench.answering_server stdio|http      (settings from VIBE_... as usual)
"""

from __future__ import annotations

import sys

from mcp_types import CallToolResult, TextContent

from vibe_orderbook_mcp.process.config import load_settings
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.serve.serving import create_server, serve_http


async def empty() -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text="{}")])


def main() -> None:
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format)
    server = create_server(settings)
    server.add_tool(empty, name="empty")
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        serve_http(server)


if __name__ == "__main__":
    main()
