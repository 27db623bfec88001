"""The MCP tools: one async method each, their results and their refusals."""
