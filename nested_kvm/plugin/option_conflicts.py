"""What of the command line contradicts itself, or would be ignored."""

import argparse
from collections.abc import Iterator
from typing import Final

import pytest

from nested_kvm.errors import UsageError

_UNSUPPORTED: Final = {
    "force_ansible": "SSH runs in-process, whatever the inventory",
    "ssh_extra_args": "SSH runs in-process; say it in --ssh-config",
}
"""Testinfra's options that would be ignored."""
_GIVE_THEM_TO_THE_RUNS: Final = (
    "inventory",
    "ansible_inventory",
    "hosts",
    "evidence",
    "active",
    "waivers",
    "baseline",
    "shard",
    "domain_xml",
    "level",
    "nested",
    "undeclared",
)
"""Options of which the runs that are merged have made use already."""


def refuse_contradictions(config: pytest.Config) -> None:
    """Refuse it.

    Raises:
        UsageError: it names an option, and says what to do instead.
    """
    given = config.option
    if config.inipath is None:
        raise UsageError("pytest.ini was not found: start in the suite's folder, and write options as --name=value")
    if given.merge:
        _refuse_beside_a_merge(config)
    ad_hoc = [name for name in ("level", "nested", "undeclared") if getattr(given, name)]
    if given.domain_xml and "nested" in ad_hoc:
        ad_hoc.remove("nested")  # of that domain, whatever the inventory says
    if given.inventory and given.ansible_inventory:
        raise UsageError("--inventory and --ansible-inventory both say what the fleet is: give one")
    if ad_hoc and (given.inventory or given.ansible_inventory or given.evidence or not given.hosts):
        raise UsageError(f"--{ad_hoc[0]} goes with --hosts alone: an inventory says it for each target itself")
    if given.active and (given.evidence or "maintenance" in given.markexpr):
        other = "--evidence connects to none" if given.evidence else "`-m maintenance` would find it"
        raise UsageError(f"--active starts an L2 in guests, and {other}: leave one out")
    for name, instead in _UNSUPPORTED.items():
        if getattr(given, name):
            raise UsageError(f"--{name.replace('_', '-')} is not supported by this version: {instead}")
    _refuse_nothing(given)
    _refuse_numbers(given)


def _refuse_beside_a_merge(config: pytest.Config) -> None:
    for option in _beside_a_merge(config):
        raise UsageError(
            f"{option} does not go with --merge, which connects to nothing and judges nothing again: "
            "give it to the runs that are merged"
        )
    given = config.option
    if given.collectonly or given.showfixtures or given.show_fixtures_per_test:
        raise UsageError("--merge makes reports of runs: there is nothing to list")
    if given.xmlpath:
        raise UsageError("--junitxml would hold a part only of what is merged: take the report directory's junit.xml")


def _beside_a_merge(config: pytest.Config) -> Iterator[str]:
    given = config.option
    yield from (f"--{name.replace('_', '-')}" for name in _GIVE_THEM_TO_THE_RUNS if getattr(given, name))
    yield from (flag for flag, words in (("-k", given.keyword), ("-m", given.markexpr)) if words)
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        yield config.args[0]


def _refuse_nothing(given: argparse.Namespace) -> None:
    if given.hosts and "ansible://" in given.hosts and not given.ansible_inventory:
        raise UsageError(f"--hosts={given.hosts} takes --ansible-inventory=FILE")
    if given.hosts is not None and not given.hosts.strip(", "):
        raise UsageError("--hosts names nothing: nothing to audit")
    if given.fail_on_drift and not (given.baseline or given.merge):
        raise UsageError("--fail-on-drift needs a --baseline to compare with")
    if given.nagios and (given.collectonly or given.showfixtures or given.show_fixtures_per_test):
        raise UsageError("--nagios answers for a run: nothing is audited where items are only listed")


def _refuse_numbers(given: argparse.Namespace) -> None:
    if given.forks < 1:
        raise UsageError(f"--forks={given.forks}: at least one target is observed at once")
    for name in ("connect_timeout", "probe_timeout"):
        seconds = getattr(given, name)
        if seconds is not None and not 0 < seconds < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')}={seconds:g}: a time limit is a positive number of seconds")
