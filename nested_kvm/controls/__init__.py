"""From facts to results: the chain of a guest, its diagnosis, and the outcome of each control."""
