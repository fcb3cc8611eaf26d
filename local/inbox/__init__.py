"""Receiver for development: takes webhooks and e-mail, shows what arrived, fails on request."""
