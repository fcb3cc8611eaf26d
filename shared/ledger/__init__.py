"""Who may act now, decided by ETags: conditional updates and leases."""
