"""What the lab is doing, said while it does it."""

import sys


def say(text: str) -> None:
    """Progress goes to standard error, at once: standard output is for answers."""
    print(text, file=sys.stderr, flush=True)
