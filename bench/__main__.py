"""`python -m bench`: measure the suite, and what it competes with, over real SSH hosts on loopback."""

import sys

from bench.errors import BenchError
from bench.namespace import run_within
from bench.options import Options
from bench.parts import require_parts


def main() -> int:
    """Check what can be checked at once, and go on in namespaces of our own."""
    Options.of(sys.argv[1:])
    try:
        require_parts()
        return run_within([sys.executable, "-m", "bench.run", *sys.argv[1:]])
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
