"""Merging several runs into one: their results are read as streams, and kept on disk."""
