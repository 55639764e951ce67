"""An audit in any folder: by the checks and the settings that come with the package.

`pytest` in a checkout finds both in its folder. Everywhere else pytest is started with them: by `nested-kvm audit`, by
`pytest --pyargs nested_kvm.checks`, and by `pytest --hosts=…` in a folder without tests.
"""

import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import pytest

from nested_kvm.controls.catalogue import SITE
from nested_kvm.controls.judge import CHECKS
from nested_kvm.plugin import INSTALLED
from nested_kvm.plugin.process_exit import GUARD, asks_for_nagios
from nested_kvm.util.home import HOME

PLUGINS: Final = (
    "nested_kvm.plugin.hooks",
    "nested_kvm.plugin.html_report",
    "nested_kvm.plugin.fixtures",
    "nested_kvm.plugin.control_item",
)
_SETTINGS: Final = HOME / "pytest.ini"
_OWN: Final = HOME / CHECKS
_OLDEST: Final = (8, 4)
"""As in pyproject.toml, which `pip install --no-deps` does not read."""
_REWRITING: Final = "ignore::pytest.PytestAssertRewriteWarning"
"""pytest warns that it cannot rewrite the assertions of modules that were imported before: no check is among them."""


def run_audit(arguments: Sequence[str], plugins: Sequence[object] = ()) -> int:
    """Audit from the current folder, with the options of pytest and of the audit, and return the exit status."""
    GUARD.watch(needs_answer=asks_for_nagios())
    if pytest.version_tuple < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        sys.stderr.write(f"nested-kvm-compliance needs pytest {needed} or newer; this is {pytest.__version__}\n")
        return int(pytest.ExitCode.USAGE_ERROR)
    brought = ["-c", str(_SETTINGS), "-W", _REWRITING, str(_OWN), *_only_a_sites_conftest()]
    return int(pytest.main([*brought, *arguments], plugins=[_Installed(), *plugins]))


def _only_a_sites_conftest() -> list[str]:
    """Keep out every conftest.py of the folders around: only one beside a site's checks belongs to the audit.

    In a checkout of the project, or in another suite's folder, theirs would end the run.
    """
    site = Path.cwd() / CHECKS / SITE
    return [f"--confcutdir={site.parent}"] if site.is_dir() and Path.cwd() != HOME else []


def working_folder(config: pytest.Config) -> Path:
    """The folder that holds a site's `checks/site` and `inventories`: that of the checkout, or the current one."""
    is_installed = config.pluginmanager.has_plugin(INSTALLED)
    return config.invocation_params.dir if is_installed else config.rootpath


class _Installed:
    """The plugin that makes such a run collect the package's checks, and those of the current folder."""

    def __init__(self) -> None:
        self.__name__ = INSTALLED

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Name the program in usage errors by what can be typed."""
        parser.prog = "nested-kvm audit"

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> None:
        """Load the audit's plugins where a checkout's conftest.py does: after those of other packages."""
        for name in PLUGINS:
            early_config.pluginmanager.import_plugin(name)

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        """Collect what the command line names, else all controls and a site's checks."""
        self._choose_checks(config)
        return (yield)

    def _choose_checks(self, config: pytest.Config) -> None:
        if config.inipath != _SETTINGS or config.rootpath != HOME:
            raise pytest.UsageError("-c and --rootdir are not supported: the audit brings its own settings")
        named = [argument for argument in config.args if argument != str(_OWN)]
        if named:
            config.args = named
            return
        site = config.invocation_params.dir / CHECKS / SITE
        config.args = [str(_OWN), str(site)] if site.is_dir() and not site.is_relative_to(_OWN) else [str(_OWN)]
        config.args_source = pytest.Config.ArgsSource.TESTPATHS
