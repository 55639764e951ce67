"""Remediation files: a shell script for each target with findings, and one Ansible playbook for all.

They are generated, never run. A script contains the changes that need no decision, in the safe order, and reloads no
module while any guest is running; the rest stands in it as comments.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from io import StringIO
from itertools import chain, groupby
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from nested_kvm.reporting.problem_text import (
    cause_line,
    effect_line,
    in_order_of_work,
    place_of,
    what,
    work_lines,
)
from nested_kvm.results.problem import Problem
from nested_kvm.results.problems import ref_of
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
# The VM in which libvirt probes QEMU has no vCPU, and is gone in a moment.
# shellcheck disable=SC2010  # only ls shows the targets of all processes' links in one call
vcpus=$(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -cE 'anon_inode:kvm-vcpu(:[0-9]+)?$' || :)
[ "$vcpus" -eq 0 ] || refuse "guests are running here ($vcpus vCPUs): shut them down first (virsh list --name)"
"""
"""A file can be changed while guests run; a module cannot be unloaded."""


def write_remediation(directory: Path, run: Run) -> bool:
    """Write the scripts and the playbook; return whether there was anything to write."""
    by_target: dict[str, list[Result]] = {}
    for result in in_order_of_work(run, run.findings()):
        by_target.setdefault(result.target, []).append(result)
    if not by_target:
        return False
    directory.mkdir()
    for name, results in by_target.items():
        write_atomically(directory / _file_name(name), _script(run, name, results))
    guests = {each.name for each in run.targets if each.host is not None}
    hosts_first = sorted(by_target, key=lambda name: name in guests)
    fixed = [name for name in hosts_first if any(result.repair for result in by_target[name])]
    scripted = {_problem(run, each).id for results in by_target.values() for each in results if each.repair}
    plan = [each for each in run.problems.open if each.id in scripted]
    write_atomically(directory / PLAYBOOK, _playbook(run, fixed, plan))
    return True


def _file_name(target: str) -> str:
    return f"{file_stem(target)}.sh"


def _script(run: Run, target: str, findings: list[Result]) -> str:
    groups = [(problem, list(each)) for problem, each in groupby(findings, partial(_problem, run))]
    parts = ["#!/bin/sh", *_heading(run, target), *chain.from_iterable(_comments(run, *each) for each in groups)]
    steps = _steps(groups)
    if not steps:
        return "\n".join([*parts, "echo 'these fixes need a decision: read this file' >&2", "exit 1", ""])
    done = "echo 'done: start the guests that were shut down, and audit again'"
    return "\n".join([*parts, _PROLOGUE, *_commands(steps), done, ""])


def _problem(run: Run, result: Result) -> Problem:
    found = run.problems.of(ref_of(result))
    if found is None:
        raise AssertionError("every finding is in a problem")
    return found[0]


def _steps(groups: Iterable[tuple[Problem, list[Result]]]) -> list[tuple[Step, str]]:
    """Each step once with the problem that it is for: by phase, then in the order of work."""
    steps: dict[Step, str] = {}
    for problem, findings in groups:
        for result in findings:
            for step in result.repair:
                steps.setdefault(step, problem.id)
    return sorted(steps.items(), key=lambda each: each[0].phase)


def _commands(steps: Iterable[tuple[Step, str]]) -> Iterator[str]:
    is_guarded, last = False, ""
    for step, problem in steps:
        if step.phase is Phase.MODULE and not is_guarded:
            is_guarded = True
            yield _BEFORE_MODULE
        if problem != last:
            yield f"# problem {problem}"
        last = problem
        yield step.command


def _heading(run: Run, target: str) -> Iterator[str]:
    yield f"# {printable(target)}: fixes for the problems that nested-kvm-compliance {run.version} found,"
    yield f"# {run.started:%Y-%m-%d %H:%M} UTC, in the order of work. Review it, then run it there as root."
    yield "# Reloads no module while any guest is running; starts no guests."


def _comments(run: Run, problem: Problem, findings: list[Result]) -> Iterator[str]:
    """What a problem is, and which findings here belong to it; its commands, where a person has to run them."""
    yield "#"
    yield f"# problem {problem.id} ({problem.severity}) at {place_of(problem)}: {what(problem)}"
    yield from (f"#   {line}" for line in (effect_line(problem), *work_lines(problem)) if line)
    is_fixed = any(result.repair for result in findings)
    is_here = any(ref_of(result) == problem.finding for result in findings)
    for result in findings:
        how = cause_line(run, result) or ("fixed below" if is_fixed else "to be fixed manually")
        yield f"# {result.control} {printable(result.subject)}, {how}: {printable(result.message)}"
    if is_here and not is_fixed:
        yield from (f"#   {visible(line)}" for line in problem.commands)


def _playbook(run: Run, fixed: list[str], plan: list[Problem]) -> str:
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
    head = [
        "# ansible-playbook -i INVENTORY playbook.yaml: its names are those of the audit's inventory.",
        "# The problems of which it fixes what needs no decision, in the order of work:",
        *(f"#   {place_of(each)}: {each.id} ({each.severity})" for each in plan),
    ]
    return "\n".join(head) + "\n" + text.getvalue()
