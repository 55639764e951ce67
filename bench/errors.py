"""What keeps a bench from going on."""


class BenchError(Exception):
    """One line: what is wrong, and what to do."""
