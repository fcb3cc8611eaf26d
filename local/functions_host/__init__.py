"""Plays the Azure Functions host on this machine and drives Microsoft's Python worker library, unchanged."""
