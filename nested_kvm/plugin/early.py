"""What must be checked before pytest knows which folder it runs in.

pytest takes the word after a space for a path of tests, and looks for its pytest.ini there: with
`--inventory /etc/fleet.yaml` it would never find ours, and report `--inventory` as unrecognized.

This plugin is loaded in every suite of its environment: outside the project's folder it does nothing else.
"""

import pytest

from nested_kvm.plugin.process_exit import GUARD, asks_for_nagios, is_own_folder
from nested_kvm.plugin.required_plugins import REQUIRED_PLUGINS, missing_plugin

_WITH_A_PATH = (
    "--inventory",
    "--ansible-inventory",
    "--evidence",
    "--report-dir",
    "--waivers",
    "--baseline",
    "--domain-xml",
    "--merge",
)


def pytest_addoption() -> None:
    """Be ready before the command line is parsed: an error in it must not pass for an answer."""
    if is_own_folder():
        GUARD.watch(needs_answer=asks_for_nagios())


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Require the form that works wherever the file is; and the plugins, before their options are missed."""
    for option in _WITH_A_PATH:
        if option in args and early_config.inipath is None:
            raise pytest.UsageError(f"write {option}=FILE with an equals sign, and run in the project's folder")
    if not is_own_folder():
        return
    blocked = early_config.pluginmanager.is_blocked
    missing = missing_plugin(REQUIRED_PLUGINS, lambda name: not blocked(name))
    if missing is None and early_config.known_args_namespace.noconftest:
        missing = "--noconftest leaves out the audit itself: leave that option out"
    if missing is not None:
        raise pytest.UsageError(missing)
