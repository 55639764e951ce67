"""Remediation files: a shell script for each target with findings, and one Ansible playbook for all.

They are generated, never run. A script contains the changes that need no decision, in the safe order, and reloads no
module while any guest is running; the rest stands in it as comments.
"""

from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from nested_kvm.results.repair_step import Phase, Step
from nested_kvm.results.run import Result, Run
from nested_kvm.util.files import file_stem, write_atomically
from nested_kvm.util.text import printable, visible

PLAYBOOK: Final = "playbook.yaml"
_PROLOGUE: Final = r"""
set -eu
export LC_ALL=C
refuse() { printf 'refused: %s\n' "$1" >&2; exit 1; }

# Unload module $1, which libvirt holds for a moment while it probes QEMU.
unload() {
    tries=30
    until modprobe -r "$1" 2>/dev/null || [ "$tries" -eq 0 ]; do tries=$((tries - 1)); sleep 1; done
    [ "$tries" -gt 0 ] || modprobe -r "$1"
}

# What the next load of module $1 will be given: every value readable, and $2 the last.
next_load_is() {
    values=$(modprobe --show-depends "$1" | tail -n 1 | tr ' ' '\n' | sed -n -e 's/^nested=//p' -e 's/^nested$/none/p')
    [ "$(printf '%s\n' "$values" | tail -n 1)" = "$2" ] || refuse "modprobe.d gives $1 nested=$values: see modprobe -c"
    [ "$1" != kvm_amd ] || ! printf '%s\n' "$values" | grep -qvxE -e '-?[0-9]+|0x[0-9a-fA-F]+' ||
        refuse "kvm_amd takes numbers only, and modprobe.d gives it nested=$values: see modprobe -c"
}

[ "$(id -u)" -eq 0 ] || refuse 'run this as root'
"""


_BEFORE_MODULE: Final = r"""
[ -e /proc/self/fd ] || refuse 'without /proc it is unknown whether guests run'
# shellcheck disable=SC2010  # only ls shows the targets of all processes' links in one call
guests=$(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'anon_inode:kvm-vm$' || :)
[ "$guests" -eq 0 ] || refuse "guests are running here ($guests): shut them down first (virsh list --name)"
"""
"""A file can be changed while guests run; a module cannot be unloaded."""


def write_remediation(directory: Path, run: Run) -> bool:
    """Write the scripts and the playbook; return whether there was anything to write."""
    findings = sorted(run.findings(), key=attrgetter("target"))
    by_target = {name: list(results) for name, results in groupby(findings, attrgetter("target"))}
    if not by_target:
        return False
    directory.mkdir()
    for name, results in by_target.items():
        write_atomically(directory / _file_name(name), _script(run, name, results))
    hosts_first = [each.name for each in sorted(run.targets, key=lambda each: each.host is not None)]
    fixed = [name for name in hosts_first if any(result.repair for result in by_target.get(name, ()))]
    write_atomically(directory / PLAYBOOK, _playbook(run, fixed))
    return True


def _file_name(target: str) -> str:
    return f"{file_stem(target)}.sh"


def _script(run: Run, target: str, findings: list[Result]) -> str:
    steps = sorted({step: None for result in findings for step in result.repair}, key=attrgetter("phase"))
    parts = ["#!/bin/sh", *_heading(run, target), *_comments(findings)]
    if not steps:
        return "\n".join([*parts, "echo 'these fixes need a decision: read this file' >&2", "exit 1", ""])
    done = "echo 'done: start the guests that were shut down, and audit again'"
    return "\n".join([*parts, _PROLOGUE, *_commands(steps), done, ""])


def _commands(steps: Iterable[Step]) -> Iterator[str]:
    is_guarded = False
    for step in steps:
        if step.phase is Phase.MODULE and not is_guarded:
            is_guarded = True
            yield _BEFORE_MODULE
        yield step.command


def _heading(run: Run, target: str) -> Iterator[str]:
    yield f"# {printable(target)}: fixes for the findings of nested-kvm-compliance {run.version},"
    yield f"# {run.started:%Y-%m-%d %H:%M} UTC. Review it, then run it there as root."
    yield "# Reloads no module while any guest is running; starts no guests."


def _comments(findings: Iterable[Result]) -> Iterator[str]:
    for result in findings:
        how = "fixed below" if result.repair else "to be fixed manually"
        yield "#"
        yield f"# {result.control} {printable(result.subject)}, {how}: {printable(result.message)}"
        if not result.repair:
            yield from (f"#   {visible(line)}" for line in result.remediation)


def _playbook(run: Run, fixed: list[str]) -> str:
    """Return one play: one machine at a time, hosts before their guests; a machine that refuses ends it."""
    play = {
        "name": f"Fix what nested-kvm-compliance found at {run.started:%Y-%m-%d %H:%M} UTC",
        "hosts": "all",
        "gather_facts": False,
        "become": True,
        "serial": 1,
        "any_errors_fatal": True,
        "vars": {"nested_kvm_scripts": {name: _file_name(name) for name in fixed}},
        "tasks": [
            {
                "name": "Run the script of this machine, which reloads no module while any guest is running",
                "ansible.builtin.script": {"cmd": "{{ nested_kvm_scripts[inventory_hostname] | quote }}"},
                "when": "inventory_hostname in nested_kvm_scripts",
            }
        ],
    }
    text = StringIO()
    writer = YAML()
    writer.width = 10_000
    writer.allow_unicode = False  # Written as it is, a name could turn the direction in which the file is read.
    writer.dump([play], text)
    return (
        "# ansible-playbook -i INVENTORY playbook.yaml: its names are those of the audit's inventory.\n"
        + text.getvalue()
    )
