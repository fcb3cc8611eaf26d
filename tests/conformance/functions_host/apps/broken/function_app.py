"""An app that cannot be imported."""

raise RuntimeError("there is a bug at the top")
