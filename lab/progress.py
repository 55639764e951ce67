"""Progress messages."""

import sys


def say(text: str) -> None:
    """Print progress to standard error at once; standard output is for results."""
    print(text, file=sys.stderr, flush=True)
