"""The bench, small: its figures have their shape, the suite visits each host once, and nothing stays behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.suite import ROOT, environment

pytestmark = [
    pytest.mark.needs("sshd", "ssh", "accounts", "kmod", "ansible-inventory"),
    pytest.mark.heavy,
    pytest.mark.alone,
]

SMALL = ("--hosts=3", "--sample=1", "--ansible-sample=1", "--growth=1", "--rtt=2", "--forks=3")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words, f"--output={folder / 'kept'}"],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_running() -> Iterator[str]:
    """Yield the processes that a bench starts, wherever they are."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if "bench.delay" in words or "bench.estate" in words or "/dev/shm/sshd" in words:  # noqa: S108 - looked for only
            yield words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    with start(folder, *SMALL) as bench:
        output, errors = bench.communicate(timeout=180)
    assert bench.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def document(folder: Path, printed: str) -> dict[str, Any]:
    (path,) = (folder / "kept").iterdir()
    assert printed.endswith(f"kept in {path}\n")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_contender_has_its_figures(document: dict[str, Any]) -> None:
    assert [(each["name"], each["hosts"]) for each in document["figures"]] == [
        ("one host", 1),
        ("floor", 1),
        ("suite", 1),
        ("floor", 3),
        ("suite", 3),
        ("empty items", 0),
        ("plain Testinfra, paramiko", 1),
        ("plain Testinfra, ssh", 1),
        ("Ansible script", 1),
    ]
    assert all(each["seconds"] > 0 and each["peak_mb"] > 10 for each in document["figures"])
    assert all(len(each["runs"]) == 1 for each in document["figures"])


def test_floor_and_suite_visit_each_host_once(document: dict[str, Any]) -> None:
    visits = {
        (each["name"], tuple(each["logins_per_host"]), tuple(each["executions_per_host"]))
        for each in document["figures"]
        if each["name"] in {"floor", "suite", "one host"}
    }
    assert visits == {(name, (1, 1), (1, 1)) for name in ("floor", "suite", "one host")}


def test_the_hosts_work_is_told_apart(document: dict[str, Any]) -> None:
    visiting = [each for each in document["figures"] if each["hosts"]]
    assert all(each["hosts_cpu_seconds"] > 0 for each in visiting)
    assert sum(each["proxy_cpu_seconds"] for each in visiting) > 0


def test_the_hosts_comply(document: dict[str, Any]) -> None:
    (suite,) = [each for each in document["figures"] if (each["name"], each["hosts"]) == ("suite", 3)]
    # Like a container they are in other namespaces: what their files say of the next boot is not known.
    assert set(suite["outcomes"]) == {"notapplicable", "pass", "unknown"}
    assert suite["outcomes"]["pass"] >= 27
    assert suite["results"] == sum(suite["outcomes"].values())


def test_each_ratio_has_its_target(document: dict[str, Any]) -> None:
    targets = {each["name"]: each.get("at_most", each.get("at_least")) for each in document["ratios"]}
    assert targets == {
        "suite / (floor + empty items)": 2.0,
        "… in CPU of the controller alone": 2.0,
        "suite, memory of its largest process": 500.0,
        "plain Testinfra, paramiko / suite, per host": 40.0,
        "Ansible script / suite, per host": 2.5,
        "one host, until the first verdict": 1.5,
    }
    assert all(isinstance(each["met"], bool) and each["value"] > 0 for each in document["ratios"])


def test_it_says_on_what_and_how_it_was_measured(document: dict[str, Any]) -> None:
    assert {"cpu", "cpus", "memory_mb", "kernel", "python", "libraries"} <= set(document["machine"])
    assert document["options"]["rtt_ms"] == 2.0
    assert [len(load) for load in document["load"].values()] == [3, 3]
    assert any("libvirt: none" in sentence for sentence in document["method"])


def test_the_table_has_a_line_for_each_figure_and_each_target(printed: str, document: dict[str, Any]) -> None:
    for name in ("floor", "empty items", "one host", "Ansible script"):
        assert f"\n{name} " in printed
    assert printed.count(" met\n") == len(document["ratios"]) > 0


@pytest.mark.usefixtures("document")
def test_nothing_is_left_running_or_lying() -> None:
    assert list(left_running()) == []
    assert not Path("/dev/shm/sshd").exists()  # noqa: S108 - looked for only


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_told_to_end_it_takes_everything_with_it(folder: Path, number: int) -> None:
    with start(folder, "--hosts=3", "--rtt=2") as bench:
        assert bench.stderr is not None
        bench.stderr.readline()  # it measures
        assert list(left_running()) != []
        bench.send_signal(number)
        bench.wait(timeout=300)
    assert bench.returncode in {128 + number, -number}
    end = time.monotonic() + 10
    while list(left_running()):
        assert time.monotonic() < end, "something is left running"
        time.sleep(0.05)


@pytest.mark.parametrize("words", [["--hosts=0"], ["--rtt=fast"], ["--growth=1,x"]])
def test_a_wrong_number_is_named_before_anything_starts(folder: Path, words: list[str]) -> None:
    with start(folder, *words) as bench:
        _, errors = bench.communicate(timeout=300)
    assert bench.returncode == 2
    assert "is no number" in errors.splitlines()[-1]
