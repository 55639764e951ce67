"""All of pytest: hooks, options, items and fixtures."""
