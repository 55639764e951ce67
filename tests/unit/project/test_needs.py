"""The marker by which a test says which real parts it needs."""

from pathlib import Path

import pytest

from tests.support.needs import HEAVY, missing

TEST = """
import pytest

@pytest.mark.needs("sh", "no-such-program")
def test_with_a_part_that_is_missing(): pass

@pytest.mark.needs("sh")
def test_with_its_part(): pass
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parents[2] / "conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers =\n    needs(part): as in the suite\n    heavy: as in the suite")
    pytester.makepyfile(TEST)


def test_a_missing_part_is_a_skip_with_a_reason(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = pytester.runpytest("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*not installed: no-such-program"])


def test_in_ci_a_missing_part_is_an_error(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*in CI every part must be there, but not installed: no-such-program"])


@pytest.mark.parametrize("part", sorted(HEAVY))
def test_what_needs_a_heavy_part_is_heavy(pytester: pytest.Pytester, part: str) -> None:
    """`make test` makes no environment of heavy parts, so that no test that it runs may need one."""
    pytester.makepyfile(test_part=f"import pytest\n\n@pytest.mark.needs('sh', '{part}')\ndef test_of_it(): pass\n")
    everyday = pytester.runpytest("--collect-only", "-q", "-m", "not heavy").outlines
    assert [line for line in everyday if "::" in line] == [
        f"test_what_needs_a_heavy_part_is_heavy.py::{name}"
        for name in ("test_with_a_part_that_is_missing", "test_with_its_part")
    ]
    assert "test_part.py::test_of_it" in pytester.runpytest("--collect-only", "-q", "-m", "heavy").outlines


def test_a_part_that_is_there_is_not_missing() -> None:
    assert missing("sh") is None
