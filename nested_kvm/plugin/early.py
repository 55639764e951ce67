"""What must be checked before pytest knows which folder it runs in.

pytest takes the word after a space for a path of tests, and looks for its pytest.ini there: with
`--inventory /etc/fleet.yaml` it would never find ours, and report `--inventory` as unrecognized.
"""

import pytest

from nested_kvm.plugin.nagios_exit import GUARD, asks_for_nagios

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
    """Arm the guard before the command line is parsed: an error in it must not pass for an answer."""
    if asks_for_nagios():
        GUARD.arm()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Require the form that works wherever the file is."""
    for option in _WITH_A_PATH:
        if option in args and early_config.inipath is None:
            raise pytest.UsageError(f"write {option}=FILE with an equals sign, and run in the project's folder")
