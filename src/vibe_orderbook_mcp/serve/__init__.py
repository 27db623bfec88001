"""The server: MCP over stdio, SSE and HTTP, who may ask and how often, metrics."""
