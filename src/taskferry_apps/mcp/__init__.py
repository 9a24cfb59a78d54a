"""The MCP server: an agent's tools, over stdio and Streamable HTTP. Importing this imports no SDK."""
