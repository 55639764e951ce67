"""What a file gives a variable is what the shell makes of it."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nested_kvm.util.shell_word import shell_word
from tests.support.needs import program

READ_IT = '. "$1"; printf "<%s>" "$WORD"'


def told_by_the_shell(folder: Path, text: str) -> str | None:
    """What a shell that reads the file has for WORD; None: it could not read it."""
    file = folder / "settings"
    file.write_bytes(f"WORD={text}".encode())
    shell = program("sh") or ""
    done = subprocess.run([shell, "-c", READ_IT, "sh", str(file)], capture_output=True, check=False, cwd=folder)
    answer = done.stdout.decode()
    return answer[1:-1] if done.returncode == 0 and answer.endswith(">") else None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("shutdown", "shutdown"),
        ("shutdown\r", "shutdown\r"),
        ('"shutdown" # by hand', "shutdown"),
        ("'shut'down", "shutdown"),
        ("shutdown;", "shutdown"),
        ("shutdown#x", "shutdown#x"),
        ("quiet kvm_amd.nested=0", ""),
        ("", ""),
        ("\t", ""),
        (";", ""),
        ('"quiet kvm_amd.nested=1" # on', "quiet kvm_amd.nested=1"),
        ('"a \\"b c\\" d"', 'a "b c" d'),
    ],
)
def test_the_word_is_the_shells(tmp_path: Path, text: str, word: str) -> None:
    assert (shell_word(text), told_by_the_shell(tmp_path, text)) == (word, word)


@pytest.mark.parametrize("text", ['"quiet', "'quiet", '"quiet \\', "quiet\\"])
def test_a_value_that_goes_on_is_not_known(text: str) -> None:
    assert shell_word(text) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab=1 \t\r'\"\\#", max_size=12))
def test_every_word_is_the_shells(tmp_path: Path, text: str) -> None:
    word = shell_word(text)
    assume(word is not None)
    seen = told_by_the_shell(tmp_path, text)
    assume(seen is not None)  # What follows the word is a command to the shell, and most are none.
    assert word == seen
