"""Standard output: its reader may go away, and no text of a target is a command to a CI system."""

import os
from io import StringIO

import pytest

from nested_kvm.reporting.output import forgiving
from nested_kvm.util.text import without_ci_commands

COMMANDS = {
    "##[add-mask]PASS": "# #[add-mask]PASS",
    "ci-1: ##[error]x ##[end]": "ci-1: # #[error]x # #[end]",
    "##vso[task.prependpath]/tmp": "# #vso[task.prependpath]/tmp",
    "##VSO[task.x]": "# #VSO[task.x]",
    "::error::all is well": ": :error::all is well",
    "  ::stop-commands::x": "  : :stop-commands::x",
    "one\n::error::two": "one\n: :error::two",
    "fe80::1 at kvm::a": "fe80::1 at kvm::a",
    "checks/site/test_a.py::test_b": "checks/site/test_a.py::test_b",
    "## heading [x]": "## heading [x]",
}


@pytest.mark.parametrize("text", COMMANDS)
def test_commands_to_a_ci_system_are_broken_up(text: str) -> None:
    assert without_ci_commands(text) == COMMANDS[text]


@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS", "TF_BUILD"])
def test_they_are_broken_up_where_one_reads_the_output(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)
    file = StringIO()
    stream = forgiving(file)
    stream.write("::notice::\n")
    monkeypatch.setenv(variable, "true")
    stream.write("kvm-a")
    stream.write("::no start of a line\n")
    stream.write("::error::PASS\n##[error]\n")
    assert file.getvalue() == "::notice::\nkvm-a::no start of a line\n: :error::PASS\n# #[error]\n"


def test_a_reader_that_goes_away_ends_nothing() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        stream = forgiving(file)
        stream.write("seen\n")
        stream.flush()
        assert os.read(reading, 100) == b"seen\n"
        os.close(reading)
        for _ in range(3):
            stream.write("not seen\n" * 10_000)
            stream.flush()
        assert (stream.isatty(), stream.fileno()) == (False, file.fileno())
