"""List files and functions that have grown long: advice for a review, never a failure."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("nested_kvm", "checks", "tests", "lab", "bench", "fuzz", "tools")
FILE_LINES = 250
FUNCTION_LINES = 25


def long_functions(path: Path) -> Iterator[str]:
    """Name each function that is longer than a screen shows well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {length} lines"


def long_files(paths: list[Path]) -> Iterator[str]:
    """Name each file that is longer than is easily read at once."""
    for path in paths:
        length = len(path.read_text().splitlines())
        if length > FILE_LINES:
            yield f"{path.relative_to(ROOT)}: {length} lines"


def main() -> int:
    """Print the advice."""
    paths = [path for folder in FOLDERS for kind in ("*.py", "*.sh") for path in sorted((ROOT / folder).rglob(kind))]
    advice = [*long_files(paths), *(line for path in paths if path.suffix == ".py" for line in long_functions(path))]
    for line in advice:
        print(line)
    print(f"advice: {len(advice)} over {FILE_LINES} lines a file or {FUNCTION_LINES} lines a function (nothing fails)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
