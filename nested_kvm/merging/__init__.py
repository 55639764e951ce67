"""One run made of several: their results are read as streams, and kept on disk."""
