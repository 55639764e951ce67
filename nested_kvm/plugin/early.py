"""What every pytest loads where the package is installed: next to nothing, unless it is an audit that was asked for.

A suite that is not ours gets no option, no output and no import from here, but one fixture, `nested_kvm`, which does
its imports when a test asks for it. Everything else of the audit is loaded by `conftest.py` in a checkout, and by
`nested_kvm.plugin.installed` elsewhere.
"""

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from nested_kvm.plugin import INSTALLED

if TYPE_CHECKING:
    from nested_kvm.inspection import Inspection

_CHECKS: Final = "nested_kvm.checks"
_HOOKS: Final = "nested_kvm.plugin.hooks"
_WITH_A_PATH: Final = (
    "--inventory",
    "--ansible-inventory",
    "--evidence",
    "--report-dir",
    "--waivers",
    "--baseline",
    "--domain-xml",
    "--merge",
)
_ASK_FOR_AN_AUDIT: Final = ("--hosts", "--inventory", "--ansible-inventory", "--evidence", "--merge", "--controls")
_OF_TESTS: Final = (".py", ".ipynb", ".feature", ".robot", ".tavern.yaml", ".tavern.yml")
"""Ends of the names of files in which pytest itself, or a plugin, may find tests."""
_MOST_FILES: Final = 2000
"""Files after which a folder is taken for one with tests."""

_INSPECTED: Final[pytest.StashKey[MutableMapping[object, "Inspection | Exception"]]] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Audit, if that is what this pytest was started for; in a checkout be ready for an error in the command line.

    Such an error must not pass for an answer.
    """
    config: Any = pluginmanager.get_plugin("pytestconfig")
    if config is None or pluginmanager.has_plugin(INSTALLED):
        return
    words = [os.fspath(word) for word in config.invocation_params.args]
    given = _audit_asked_for(config, words)
    if given is not None:
        from nested_kvm.plugin.installed import run_audit  # noqa: PLC0415 - costs what only an audit may cost

        raise SystemExit(run_audit(given, config.invocation_params.plugins or ()))
    if _is_ours(config.rootpath):
        from nested_kvm.plugin.process_exit import GUARD, asks_for_nagios  # noqa: PLC0415 - as above

        GUARD.watch(needs_answer=asks_for_nagios())


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Require the form that works wherever the file is; and the plugins, before their options are missed.

    pytest takes the word after a space for a path of tests, and looks for its pytest.ini there: with
    `--inventory /etc/fleet.yaml` it would never find ours, and report `--inventory` as unrecognized.
    """
    option = next((each for each in _WITH_A_PATH if each in args), None)
    if option is not None and early_config.inipath is None and _is_ours(early_config.invocation_params.dir):
        raise pytest.UsageError(f"write {option}=FILE with an equals sign, and run in the project's folder")
    if not (early_config.pluginmanager.has_plugin(INSTALLED) or _is_ours(early_config.rootpath)):
        return
    from nested_kvm.plugin.required_plugins import REQUIRED_PLUGINS, missing_plugin  # noqa: PLC0415 - as above

    blocked = early_config.pluginmanager.is_blocked
    missing = missing_plugin(REQUIRED_PLUGINS, lambda name: not blocked(name))
    if missing is None and early_config.known_args_namespace.noconftest:
        missing = "--noconftest leaves out the audit itself: leave that option out"
    if missing is not None:
        raise pytest.UsageError(missing)


@pytest.fixture
def nested_kvm(request: pytest.FixtureRequest, host: Any) -> "Inspection":
    """Whether Testinfra's `host` can nest, and every fact that the audit's controls take; inspected once a session."""
    from nested_kvm.inspection import inspection_of  # noqa: PLC0415 - costs what only a test that asks may cost

    return inspection_of(host, request.config.stash.setdefault(_INSPECTED, {}))


def _is_ours(folder: Path) -> bool:
    """Whether it is a checkout of the project."""
    try:
        return _HOOKS in (folder / "conftest.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _audit_asked_for(config: Any, words: list[str]) -> list[str] | None:
    """The command line of the audit that was asked for; None: it is some other suite's."""
    if "--pyargs" in words and any(_is_a_part(word) for word in words):
        return list(_without_pyargs(words))
    asks = any(word.partition("=")[0] in _ASK_FOR_AN_AUDIT for word in words)
    folder = config.invocation_params.dir
    if asks and config.inipath is None and not _names_tests(words, folder) and not _may_hold_tests(folder):
        return words
    return None


def _is_a_part(word: str) -> bool:
    return word == _CHECKS or word.startswith((f"{_CHECKS}.", f"{_CHECKS}::"))


def _without_pyargs(words: list[str]) -> Iterator[str]:
    """The words, with the package's checks by their path."""
    from nested_kvm.util.home import HOME  # noqa: PLC0415 - as above

    for word in words:
        if _is_a_part(word):
            module, colons, name = word.partition("::")
            path = HOME.joinpath(*module.split(".")[1:])
            yield f"{path if path.is_dir() else path.with_suffix('.py')}{colons}{name}"
        elif word != "--pyargs":
            yield word


def _names_tests(words: list[str], folder: Path) -> bool:
    """Whether a word is a path of tests, and not the file of an option before it."""
    for before, word in zip(["", *words], words, strict=False):
        is_word = not word.startswith("-") and before not in _WITH_A_PATH
        if is_word and (folder / word.partition("::")[0]).exists():
            return True
    return False


def _may_hold_tests(folder: Path) -> bool:
    """Whether pytest, or a plugin of another suite, may find a test here: a Python file, or one named for a test."""
    count = 0
    for path, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not _is_passed_over(Path(path, each))]
        for name in files:
            count += 1
            is_site_check = name.endswith(".py") and Path(path) == folder / "checks" / "site"
            named_for_tests = name.endswith(_OF_TESTS) or name.startswith(("test", "molecule."))
            if (named_for_tests and not (is_site_check and _asks_for_us(Path(path, name)))) or count > _MOST_FILES:
                return True
    return False


def _is_passed_over(folder: Path) -> bool:
    """Whether pytest does not look into that folder: hidden, a virtual environment, or what a run of ours left."""
    return folder.name.startswith(".") or folder.name == "reports" or (folder / "pyvenv.cfg").exists()


def _asks_for_us(path: Path) -> bool:
    try:
        return "nested_kvm" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
