"""Python client for Dropbell; speaks the HTTP API only."""
