"""What the readings say: nouns, made by pure functions, one subject a file."""
