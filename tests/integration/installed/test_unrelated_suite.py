"""A suite that has nothing to do with us, with and without the package in its environment."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.installed import Installed

pytestmark = [pytest.mark.slow, pytest.mark.heavy]
SUITE = {
    "test_sums.py": "import pytest\n\n@pytest.mark.parametrize('n', range(99))\ndef test_n(n): assert n + n == 2 * n\n",
    "test_more.py": "def test_one(tmp_path): assert tmp_path.is_dir()\n\ndef test_two(): assert False, 'as ever'\n",
}
COUNT = """
import json, sys, pytest
status = pytest.main(sys.argv[1:])
print()
print("MODULES", json.dumps([int(status), sorted(sys.modules)]))
"""


class Session(NamedTuple):
    status: int
    output: str
    modules: frozenset[str]


def session(installed: Installed, folder: Path, *words: str) -> Session:
    answer = installed.run(folder, "python", "-c", COUNT, "-p", "no:cacheprovider", *words)
    output, _, found = answer.stdout.rpartition("MODULES ")
    status, modules = json.loads(found)
    return Session(status, without_times(output), frozenset(modules))


def without_times(text: str) -> str:
    """The output; without the time, and without the lines in which pytest lists every installed plugin by its name."""
    return re.sub(r"in [0-9.]+s", "in Ns", re.sub(r"^(plugins|metadata): .*\n", "", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def folder(installed: Installed) -> Path:
    return installed.folder("an unrelated suite", SUITE)


@pytest.fixture
def without(installed: Installed) -> Iterator[None]:
    """The environment as it would be if the package were not in it: pip's own record of it is away."""
    (info,) = (installed.home / "venv").glob("lib/python*/site-packages/nested_kvm_compliance-*.dist-info")
    away = installed.home / "away"
    info.rename(away)
    yield
    away.rename(info)


@pytest.fixture
def bare(installed: Installed, folder: Path, without: None) -> dict[str, Session]:  # noqa: ARG001 - while it is away
    return {words: session(installed, folder, *words.split()) for words in COMMANDS}


COMMANDS = ("", "--collect-only -q", "-v")


def test_its_output_and_status_are_the_same_and_next_to_nothing_is_imported(
    installed: Installed, folder: Path, request: pytest.FixtureRequest
) -> None:
    ours = {words: session(installed, folder, *words.split()) for words in COMMANDS}
    theirs: dict[str, Session] = request.getfixturevalue("bare")
    for words in COMMANDS:
        assert ours[words].status == theirs[words].status
        assert ours[words].output == theirs[words].output
        new = ours[words].modules - theirs[words].modules
        assert new == {"nested_kvm", "nested_kvm.plugin", "nested_kvm.plugin.early"}


def test_its_options_are_not_ours(installed: Installed, folder: Path) -> None:
    shown = installed.run(folder, "pytest", "--help").stdout
    assert "--hosts" in shown  # Testinfra's
    assert "--fail-on-drift" not in shown
    assert "nested KVM" not in shown


def test_its_own_option_of_our_name_is_its_own(installed: Installed) -> None:
    conftest = "def pytest_addoption(parser):\n    parser.addoption('--baseline')\n"
    test = "def test_it(request): assert request.config.getoption('--baseline') == 'foo'\n"
    folder = installed.folder("baseline", {"conftest.py": conftest, "test_it.py": test, "foo": ""})
    for words in (["--baseline", "foo"], ["--baseline=foo"]):
        answer = installed.run(folder, "pytest", "-q", *words)
        assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("assertion", "status", "says"), [("True", 0, "OK"), ("False", 2, "CRITICAL")])
def test_its_nagios_is_testinfras(installed: Installed, assertion: str, status: int, says: str) -> None:
    test = f"def test_it(host): assert {assertion}\n"
    folder = installed.folder(f"nagios-{assertion}", {"test_it.py": test})
    answer = installed.run(folder, "pytest", "-q", "--nagios", "--hosts=local://")
    assert answer.returncode == status
    assert f"TESTINFRA {says}" in answer.stdout
    assert "NESTED-KVM" not in answer.stdout


@pytest.mark.parametrize("name", ["test_it.py", "suite/it_test.py", "test_it.txt", "conftest.py"])
def test_a_folder_with_tests_is_never_audited(installed: Installed, name: str) -> None:
    folder = installed.folder(f"tests-{name.replace('/', '-')}", {name: ""})
    answer = installed.run(folder, "pytest", "--hosts=local://")
    assert "nested KVM" not in answer.stdout
    assert not (folder / "reports").exists()


def test_an_empty_folder_is_not_audited_unless_that_is_asked_for(installed: Installed) -> None:
    folder = installed.folder("nothing")
    answer = installed.run(folder, "pytest", "-p", "no:cacheprovider")
    assert (answer.returncode, list(folder.iterdir())) == (5, [])
