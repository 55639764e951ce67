"""Whether any check may use a live `host`: only then do connections stay open until it was evaluated."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_NAME: Final = "host"
_EXAMPLE: Final = "example.py"
"""The example in checks/site, which is not collected."""


def may_ask_for_host(config: pytest.Config) -> bool:
    """Search the files that pytest will collect from; a file that cannot be parsed may use it."""
    paths = {path for argument in config.args for path in _files(config, argument)}
    return any(_names_host(path) for path in sorted(paths))


def _files(config: pytest.Config, argument: str) -> Iterator[Path]:
    """The Python files of one argument, and the conftest.py of each folder between it and the project's root."""
    path = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
    found = path.rglob("*.py") if path.is_dir() else [path]
    yield from (each for each in found if each.name != _EXAMPLE)
    for folder in path.parents:
        if folder == config.rootpath or not folder.is_relative_to(config.rootpath):
            return
        if (folder / "conftest.py").exists():
            yield folder / "conftest.py"


def _names_host(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    return any(
        (isinstance(node, ast.arg) and node.arg == _NAME) or (isinstance(node, ast.Constant) and node.value == _NAME)
        for node in ast.walk(tree)
    )
