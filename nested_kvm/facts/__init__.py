"""What the readings mean: frozen dataclasses made by pure functions, one topic per file."""
