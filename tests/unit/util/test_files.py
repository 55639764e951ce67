"""A file is read within bounds, and one that is not regular is refused at once."""

import os
import socket
from pathlib import Path

import pytest

from nested_kvm.errors import FileUnusable
from nested_kvm.util.files import given_path, read_bounded


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\0" * (1024 * 1024 + 1))
    with pytest.raises(FileUnusable, match=r"^is larger than 1 MiB$"):
        read_bounded(tmp_path / "file", 1024 * 1024)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileUnusable, match=r"^is not a regular file$"):
        read_bounded(tmp_path / "fifo", 5)


def test_a_socket_a_device_and_a_directory_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(FileUnusable, match=r"^is not a regular file$"):
            read_bounded(tmp_path / "socket", 5)
    with pytest.raises(FileUnusable, match=r"^is not a regular file$"):
        read_bounded(Path("/dev/zero"), 5)
    with pytest.raises(FileUnusable, match=r"^Is a directory$"):
        read_bounded(tmp_path, 5)


def test_a_missing_file_gives_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"^No such file or directory$"):
        read_bounded(tmp_path / "missing", 5)


def test_a_pipe_is_read_to_its_end_where_that_is_wanted() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    assert read_bounded(Path(f"/dev/fd/{reading}"), 5, regular=False) == b"abc"
    os.close(reading)


def test_a_home_that_the_shell_left_in_an_option_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/fleet.yaml") == tmp_path / "fleet.yaml"
    assert given_path("~no-such-user/fleet.yaml") == Path("~no-such-user/fleet.yaml")
    assert given_path("./~/fleet.yaml") == Path("~/fleet.yaml")
