"""A YAML file is read in bounded time, and one that is not a regular file is refused."""

import os
import time
from pathlib import Path

import pytest

from nested_kvm.errors import InventoryError
from nested_kvm.util.yaml_file import COMMENT_LIMIT, read_yaml

HUGE = 2_000_000


@pytest.mark.parametrize(
    "line",
    ["#" * HUGE, "  # " + "# " * HUGE, "b: 1 " + "#" * HUGE, "b: 'x' # " + "x" * COMMENT_LIMIT],
    ids=["one word", "many words", "behind a value", "just too long"],
)
def test_a_long_line_with_a_comment_is_refused_at_once(tmp_path: Path, line: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(f"a: 1\n{line}\nc: 3\n")
    start = time.thread_time()
    with pytest.raises(InventoryError, match=rf"^{path}:2: has a comment in a line of more than 8 KiB$"):
        read_yaml(path, InventoryError)
    assert time.thread_time() - start < 2


def test_a_long_line_without_a_comment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text('{"a": "' + "x #" * COMMENT_LIMIT + '"}\n')
    assert read_yaml(path, InventoryError).document == {"a": "x #" * COMMENT_LIMIT}


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    os.mkfifo(path)
    with pytest.raises(InventoryError, match=f"^{path}: is not a regular file$"):
        read_yaml(path, InventoryError)
