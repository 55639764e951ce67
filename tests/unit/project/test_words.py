"""`make words` finds the words that the glossary replaces, and only in what people read."""

from pathlib import Path

import pytest

from tools import words

SAMPLE = """\
def mend(told: str) -> str:
    \"\"\"Say what it is.\"\"\"
    return f"{told} could not be looked at"  # nobody asks
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "allowed.txt").write_text("# none\n")
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "ALLOWED", tmp_path / "allowed.txt")
    return tmp_path


def test_it_reads_strings_and_comments_and_no_names(root: Path) -> None:
    assert root.is_dir()
    found = sorted(line.split(": ")[1] for line in words.findings())
    assert found == ["'looked at'", "'nobody'"]


def test_a_legitimate_use_is_allowed_by_its_place(root: Path) -> None:
    (root / "allowed.txt").write_text("checks/test_sample.py: could not be looked at\ndocs/a.md: nobody asks\n")
    assert [line.split(": ")[1] for line in words.findings()] == ["'nobody'"]


def test_a_page_is_read_line_by_line(root: Path) -> None:
    (root / "README.md").write_text("It works.\n\nThe command that mends it.\n")
    assert "README.md:3: 'mends': fix, remediation" in list(words.findings())
