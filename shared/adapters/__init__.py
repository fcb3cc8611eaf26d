"""The ports, carried out: the only place that imports the Azure SDKs and the HTTP client."""
