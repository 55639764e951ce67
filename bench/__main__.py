"""`python -m bench`: measure the audit and its alternatives over real SSH hosts on loopback."""

import sys
from pathlib import Path

from bench.errors import BenchError
from bench.namespace import run_within
from bench.options import Options
from bench.packages import require_parts


def make_folder(folder: Path) -> None:
    """Make the folder of the results now: after minutes of measuring it is late to learn that it cannot be.

    Raises:
        BenchError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--output: {error.filename}: {error.strerror}: name a folder that can be written") from None


def main() -> int:
    """Check what can be checked at once, and go on in namespaces of our own."""
    options = Options.of(sys.argv[1:])
    try:
        require_parts()
        make_folder(options.output)
        return run_within([sys.executable, "-m", "bench.run", *sys.argv[1:]])
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
