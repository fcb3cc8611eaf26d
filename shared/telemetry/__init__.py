"""Traces and wide events: what an operator sees of a request, an event or an attempt."""
