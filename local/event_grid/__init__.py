"""Event Grid's system topic of a storage account: Azurite's access log becomes BlobCreated events."""
