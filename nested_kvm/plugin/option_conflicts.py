"""Conflicts on the command line: options that contradict each other, have no effect, or do not work with the audit."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Final

import pytest
from _pytest.mark.expression import Expression

from nested_kvm.errors import UsageError
from nested_kvm.plugin.required_plugins import missing_plugin, registered_before_the_run
from nested_kvm.util.text import printable

Given = argparse.Namespace
_CONTROL: Final = re.compile(r"(?:L0|L1|DOM|PAIR|SITE)-[A-Z0-9-]+")
_DATA: Final = (".yaml", ".yml", ".json")
"""Ends of the names of inventories, in which pytest finds no tests."""
_UNSUPPORTED: Final = {
    "force_ansible": ("--force-ansible", "SSH runs in-process, whatever the inventory"),
    "ssh_extra_args": ("--ssh-extra-args", "SSH runs in-process; put it into --ssh-config"),
    "numprocesses": ("-n", "--forks already observes in parallel"),
    "lf": ("--lf", "nothing is cached between runs; compare with an earlier run by --baseline"),
    "failedfirst": ("--ff", "nothing is cached between runs; findings are listed first, by severity"),
    "newfirst": ("--nf", "nothing is cached between runs; select controls with -k or -m"),
    "stepwise": ("--sw", "nothing is cached between runs; stop at the first finding with -x"),
    "stepwise_skip": ("--sw-skip", "nothing is cached between runs; select controls with -k or -m"),
    "stepwise_reset": ("--sw-reset", "nothing is cached between runs"),
    "cacheshow": ("--cache-show", "nothing is cached between runs; earlier runs are in --report-dir"),
    "cacheclear": ("--cache-clear", "nothing is cached between runs"),
    "usepdb": ("--pdb", "a finding is not an exception to debug; use --tb=long, or python -m pdb -m pytest"),
    "trace": ("--trace", "controls are not run by pytest's runner; use python -m pdb -m pytest"),
    "setuponly": ("--setup-only", "controls take facts, not fixtures; list these with --fixtures"),
    "setupshow": ("--setup-show", "controls take facts, not fixtures; list these with --fixtures"),
    "setupplan": ("--setup-plan", "controls take facts, not fixtures; list the items with --collect-only"),
}
"""Options of pytest and Testinfra that would be ignored or break the audit, and what to use instead."""
_FOR_THE_MERGED_RUNS: Final = (
    "inventory",
    "ansible_inventory",
    "hosts",
    "evidence",
    "since",
    "active",
    "advisories",
    "active_on_xen",
    "waivers",
    "baseline",
    "shard",
    "domain_xml",
    "candidate",
    "level",
    "libvirt",
    "nested",
    "undeclared",
)
"""Options that the runs to be merged have used already."""

Conflict = tuple[Callable[[Given], object], str]
_CONFLICTS: Final[tuple[Conflict, ...]] = (
    (
        lambda given: given.merge and only_lists(given),
        "--merge combines finished runs: there is nothing to list",
    ),
    (
        lambda given: given.merge and given.xmlpath,
        "--junitxml would hold only a part of what is merged: use junit.xml in the report directory",
    ),
    (
        lambda given: given.inventory and given.ansible_inventory,
        "--inventory and --ansible-inventory both define the fleet: use one",
    ),
    (
        lambda given: (_has_inventory(given) or given.evidence or not given.hosts) and _ad_hoc(given),
        "--{} is for a run by --hosts without an inventory: an inventory defines it for each target",
    ),
    (
        lambda given: given.active and given.evidence,
        "--active asks hosts and starts an L2 in guests, and --evidence connects to none: leave one out",
    ),
    (
        lambda given: given.active_on_xen and not given.active,
        "--active-on-xen only widens --active: give both",
    ),
    (
        lambda given: given.active and "maintenance" in given.markexpr,
        "--active starts an L2 in guests, and `-m maintenance` would find it: leave one out",
    ),
    (
        lambda given: "ansible://" in (given.hosts or "") and not given.ansible_inventory and given.hosts,
        "--hosts={} needs --ansible-inventory=FILE",
    ),
    (
        lambda given: given.hosts is not None and not given.hosts.strip(", "),
        "--hosts names nothing: nothing to audit",
    ),
    (
        lambda given: not (_has_inventory(given) or given.evidence) and _pattern(given),
        "--hosts: {!r} is a pattern; patterns need --inventory",
    ),
    (
        lambda given: given.max_age is not None and not (given.evidence or given.since or given.merge),
        "--max-age goes with --evidence, --since or --merge: other targets are observed now",
    ),
    (
        lambda given: given.since and (given.gate or given.nagios) and not given.since_in_gate and _gate(given),
        "{} decides on what is so now, and --since takes over earlier evidence: leave it out, or add --since-in-gate",
    ),
    (
        lambda given: given.since_in_gate and not ((given.since or given.merge) and (given.gate or given.nagios)),
        "--since-in-gate only allows --since with --gate or --nagios: give both",
    ),
    (
        lambda given: given.since and _beside_since(given),
        "--since does not go with {}, of which no digest shows that its answer is unchanged: leave one out",
    ),
    (
        lambda given: given.fail_on_drift and not (given.baseline or given.merge),
        "--fail-on-drift needs a --baseline to compare with",
    ),
    (
        lambda given: given.allowed_signers and not (given.evidence or given.since or given.merge or given.baseline),
        "--allowed-signers is about runs that are read: use it with --evidence, --since, --merge or --baseline",
    ),
    (
        lambda given: given.sign_with and only_lists(given),
        "--sign-with signs a run: nothing is audited where items are only listed",
    ),
    (
        lambda given: given.gate and only_lists(given),
        "--gate decides on a run: nothing is audited where items are only listed",
    ),
    (
        lambda given: given.nagios and only_lists(given),
        "--nagios reports on a run: nothing is audited where items are only listed",
    ),
    (
        lambda given: given.forks is not None and given.forks < 1 and str(given.forks),
        "--forks={}: at least one target is observed at once",
    ),
    (
        lambda given: _bad_limit(given),  # noqa: PLW0108 - defined below
        "--{}: a time limit is a positive number of seconds",
    ),
)
"""A condition, and the message where it holds: `{}` stands for the value of the condition."""


def check_options(config: pytest.Config) -> None:
    """Check for conflicting options.

    Raises:
        UsageError: it names an option, and what to do instead.
    """
    given = config.option
    if config.inipath is None:
        raise UsageError("pytest.ini was not found: run in the project's folder, and write options as --name=value")
    if given.merge:
        _check_merge(config)
    for name, (option, instead) in _UNSUPPORTED.items():
        if getattr(given, name, None):
            raise UsageError(f"{option} is not supported: {instead}")
    for condition, message in _CONFLICTS:
        found = condition(given)
        if found:
            raise UsageError(message.format(found))
    _check_words(config)
    _check_marker_expression(config)


def check_plugins(config: pytest.Config) -> None:
    """Check that every plugin is there on which the audit depends.

    Raises:
        UsageError: one is missing.
    """
    missing = missing_plugin(registered_before_the_run(), config.pluginmanager.hasplugin)
    if missing is not None:
        raise UsageError(missing)


def check_catalogue_options(given: Given) -> None:
    """Check that nothing is asked of a listing of the controls that only a run can answer.

    Raises:
        UsageError: something is.
    """
    if given.gate or given.nagios:
        option = _gate(given)
        listing = "--markers only lists the markers" if given.markers else "--controls only lists the controls"
        raise UsageError(f"{option} decides on a run: {listing}")


def only_lists(given: Given) -> bool:
    """Whether items or fixtures are listed, and nothing is audited."""
    return bool(given.collectonly or given.showfixtures or given.show_fixtures_per_test)


def _check_merge(config: pytest.Config) -> None:
    given = config.option
    used = [f"--{name.replace('_', '-')}" for name in _FOR_THE_MERGED_RUNS if getattr(given, name)]
    used += [flag for flag, words in (("-k", given.keyword), ("-m", given.markexpr)) if words]
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        used.append(config.args[0])
    if used:
        raise UsageError(
            f"{used[0]} does not go with --merge, which connects to nothing and evaluates nothing again: "
            "use it with the runs that are merged"
        )


def _check_words(config: pytest.Config) -> None:
    """Refuse a word that is no place of checks; pytest itself refuses it after every target was observed.

    Most often it is an address or an inventory without its option, and the audit would be of this machine instead.
    """
    if config.args_source is not pytest.Config.ArgsSource.ARGS or config.option.pyargs:
        return
    for word in config.args:
        name = word.partition("::")[0]
        place = config.invocation_params.dir / name
        if not os.path.exists(place):  # noqa: PTH110 - Path's raises for a name that is too long
            raise UsageError(_meant_by(name))
        if place.suffix in _DATA and place.is_file():
            raise UsageError(f"{name} is not a file of checks: an inventory is given by --inventory={name}")


def _meant_by(name: str) -> str:
    """What to write in place of a word that names no file or folder."""
    if "://" in name:  # Not quoted: it may carry a password.
        return f"{name.partition('://')[0]}://… is an address: hosts are given by --hosts=ADDRESS"
    if _CONTROL.fullmatch(name):
        return f"{name}: a control is selected by -k {name}"
    shown = printable(name, 200)
    return f"{shown}: no such file or folder of checks; what to audit is given by --hosts=A,B or --inventory=FILE"


def _check_marker_expression(config: pytest.Config) -> None:
    """Refuse an unknown marker before any target is connected to; pytest itself refuses it after collection."""
    try:
        names = Expression.compile(config.option.markexpr or "").idents() if config.option.markexpr else frozenset()
    except SyntaxError as error:
        raise UsageError(f"-m {config.option.markexpr!r} is not a valid expression: {error.msg}") from None
    known = {line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    unknown = sorted(set(names) - known)
    if unknown:
        raise UsageError(f"-m: unknown marker {', '.join(unknown)}; `pytest --markers` lists the known ones")


def _ad_hoc(given: Given) -> str | None:
    """The first option that describes targets given by --hosts alone."""
    # --nested may also be about the guests of --candidate, whatever the inventory requires.
    names = ("level", "undeclared", "libvirt", *([] if given.domain_xml or given.candidate else ["nested"]))
    return next((name for name in names if getattr(given, name)), None)


def _gate(given: Given) -> str:
    return "--gate" if given.gate else "--nagios"


def _beside_since(given: Given) -> str | None:
    """The first option of which --since cannot take over an answer."""
    named = [f"--{name.replace('_', '-')}" for name in ("evidence", "active", "candidate", "domain_xml")]
    used = [each for each in named if getattr(given, each.removeprefix("--").replace("-", "_"))]
    return next(iter([*used, *["-m maintenance"] * ("maintenance" in given.markexpr)]), None)


def _has_inventory(given: Given) -> bool:
    return bool(given.inventory or given.ansible_inventory)


def _pattern(given: Given) -> str | None:
    """The first of --hosts that is a glob pattern; a question mark also begins an address' options."""
    hosts = (given.hosts or "").split(",")
    return next((host for host in hosts if "*" in host or ("?" in host and "=" not in host)), None)


def _bad_limit(given: Given) -> str | None:
    for name in ("connect_timeout", "probe_timeout"):
        seconds = getattr(given, name)
        if seconds is not None and not 0 < seconds < float("inf"):
            return f"{name.replace('_', '-')}={seconds:g}"
    return None
