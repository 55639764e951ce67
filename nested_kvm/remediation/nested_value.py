"""Remediation for what sets nested: modprobe.d, the kernel command line, and the module that runs."""

import re
import shlex
from collections.abc import Iterable
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Evidence, Finding
from nested_kvm.remediation.boot_loader import change_cmdline
from nested_kvm.remediation.names import (
    module_of,
    next_load_of,
    reload_now,
    running_matches_policy,
    show_nested,
    shut_down_first,
)
from nested_kvm.util.text import visible

_VENDORS: Final = ("/usr/lib/", "/lib/", "/usr/local/lib/", "/run/")
"""Where packages and other programs write: a file of the same name in /etc masks one there."""
OWN_FILE: Final = "/etc/modprobe.d/zz-nested-kvm.conf"
"""kmod sorts files by basename: this one is read after the usual names."""


def reload(subject: Subject, finding: Finding) -> list[str]:
    """Reload the module once no guest is running; first persist the policy's value where another one would load."""
    load = next_load_of(subject)
    if load is None or load.nested is subject.policy.is_required:
        return [*shut_down_first(subject), *reload_now(subject)]
    if running_matches_policy(subject):
        return [*_mend_next_load(subject, finding), "# the running value matches the policy: no reload is needed"]
    return persist_and_reload(subject, finding)


def _mend_next_load(subject: Subject, finding: Finding) -> list[str]:
    """What makes the next load right: the value that is invalid, the command line that wins, or another line."""
    load = next_load_of(subject)
    if load is not None and load.fails:
        return fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
    if load is not None and (_is_overridden(subject, load) or load.is_built_in):
        return put_on_cmdline(subject, finding)
    return persist(subject, finding)


def _is_overridden(subject: Subject, load: NextLoad) -> bool:
    """Whether the command line, of this boot or the next, sets nested against the policy: no file can win over it."""
    if load.authority is Authority.COMMAND_LINE and load.nested is not subject.policy.is_required:
        return True
    try:
        words = subject.machine.next_cmdline.against(nested=subject.policy.is_required)
    except ObservationError:
        return False
    return any(".nested" in item.text for item in words)


def put_on_cmdline(subject: Subject, _finding: Finding) -> list[str]:
    """Have the next boot's command line set nested where no file does, and no longer set it otherwise."""
    module, load = module_of(subject), next_load_of(subject)
    is_built_in = load is not None and load.is_built_in
    wrong = load is not None and _is_overridden(subject, load)
    added = f"{module}.nested={subject.policy.either(1, 0)}" if is_built_in or not wrong else None
    removed = f"{module}.nested={subject.policy.either(0, 1)}" if wrong else None
    return [
        *([f"# {module} is built in, so modprobe.d has no effect"] if is_built_in else []),
        *change_cmdline(subject, added, removed),
        f"{show_nested(module)}  # after the next boot",
    ]


def persist(subject: Subject, finding: Finding) -> list[str]:
    """Write a modprobe.d line that is read last, and verify with kmod."""
    module = module_of(subject)
    value = subject.policy.either(1, 0)
    load = next_load_of(subject)
    if load is not None and (load.is_built_in or _is_overridden(subject, load) or _is_lost(subject)):
        return put_on_cmdline(subject, finding)
    if load is not None and load.fails:
        return fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
    show = f"modprobe --show-depends {module}  # the last nested= must be {value}, and all must be numbers"
    changed = _lines_that_decide(subject, load)
    if changed:
        return [*_changed_lines(subject, changed), show]
    return [
        f"printf 'options {module} nested={value}\\n' > {OWN_FILE}",
        show,
    ]


def _lines_that_decide(subject: Subject, load: NextLoad | None) -> list[Evidence]:
    """The lines of modprobe.d that set nested otherwise: a line of another file beside them would contradict them."""
    if load is None or load.authority is not Authority.FILE or load.nested is None:
        return []
    is_right = load.nested is subject.policy.is_required
    lines = [*load.contradicted] if is_right else [*load.origin, *load.overridden]
    return [item for item in lines if _is_changeable(item)]


def _is_changeable(item: Evidence) -> bool:
    """Whether the line names the parameter in its own file; in /run it would be gone with the next boot."""
    return re.fullmatch(r"/(?!run/).+\.conf:\d+", item.source) is not None and "nested" in item.text


def _is_lost(subject: Subject) -> bool:
    """Whether a file in /etc would be gone after the next boot."""
    try:
        return bool(subject.machine.lasting_settings.is_etc_lost)
    except ObservationError:
        return False


def persist_and_reload(subject: Subject, finding: Finding) -> list[str]:
    """Make the next load right, then reload the module; where only a boot does that, leave the module as it is."""
    load = next_load_of(subject)
    if load is not None and (load.is_built_in or _is_overridden(subject, load)):
        return [
            *put_on_cmdline(subject, finding),
            f"# do not reload {module_of(subject)} before that boot: the current command line would win again",
        ]
    if load is not None and load.fails:
        module = module_of(subject)
        first = fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
        if not any(line.startswith("sed ") for line in first):
            return [*first, f"# only then reload {module}: with that option it would not load again"]
        return [
            f"# {module} has an invalid value in its configuration, and would not load again: that comes first",
            *first,
            *shut_down_first(subject),
            *reload_now(subject),
        ]
    if load is not None and load.nested is None:
        return [
            *persist(subject, finding),
            f"# what the next load does is not known ({visible(load.reason)}): only then reload {module_of(subject)}",
        ]
    return [*persist(subject, finding), *shut_down_first(subject), *reload_now(subject)]


def fix_value(subject: Subject, finding: Finding) -> list[str]:
    """Replace the invalid value with one that is valid for every type of the parameter."""
    if any(item.source == sources.CMDLINE for item in finding.evidence):
        return fix_cmdline(subject, finding)
    load = next_load_of(subject)
    if load is not None and load.refused is not None:
        return _fix_option(load.refused, finding)
    module = module_of(subject)
    verify = f"modprobe --show-depends {module}  # every nested= in the output must be a number"
    return [*_changed_lines(subject, finding.evidence), verify]


def _changed_lines(subject: Subject, lines: Iterable[Evidence]) -> list[str]:
    """The commands that give nested the policy's value where each line sets it; a vendor's file is copied first."""
    value, commands = subject.policy.either(1, 0), []
    for item in dict.fromkeys(lines):
        place = re.fullmatch(r"(/.+\.conf):(\d+)", item.source)
        if place:
            # \< and \> keep other parameters, such as nested_early_check, as they are.
            change = f"s/\\<nested\\>\\(=[^[:space:]]*\\)\\{{0,1\\}}/nested={value}/g"
            address = f"{place[2]}{{:a;{change};/\\\\$/{{n;ba}}}}" if _is_continued(subject, *place.groups()) else ""
            script, path = shlex.quote(address or place[2] + change), place[1]
            own = f"/etc/modprobe.d/{path.rpartition('/')[2]}"
            in_place = not path.startswith(_VENDORS)
            to = "" if in_place else f" > {shlex.quote(own)}"
            commands.append(f"sed {'-i.bak ' if in_place else ''}{script} {shlex.quote(path)}{to}")
    return commands


def _fix_option(module: str, finding: Finding) -> list[str]:
    """Correct or delete an option other than nested."""
    return [
        *(f"# correct or delete the option of {module} in {visible(item.source)}" for item in finding.evidence),
        f"modinfo --parameters {module}  # the type of each parameter",
        f"modprobe --show-depends {module}  # the options that it will be given",
    ]


def _is_continued(subject: Subject, path: str, number: str) -> bool:
    """Whether the line ends in a backslash, so that the value may be on one of the lines after it."""
    reading = subject.machine.bundle.readings.get(path)
    lines = [] if reading is None else reading.text.split("\n")
    return int(number) <= len(lines) and lines[int(number) - 1].endswith("\\")


def fix_cmdline(subject: Subject, finding: Finding) -> list[str]:
    """Remove the entry from the next boot's command line."""
    module = module_of(subject)
    named = [item for item in finding.evidence if item.source.startswith("/") and "/modprobe.d/" not in item.source]
    others = [item for item in named if ".nested" not in item.text]
    if others:
        removed = ", ".join(dict.fromkeys(visible(item.text) for item in others))
        shown = [f"# {visible(item.source)} has {visible(item.text)}" for item in others]
        return [*shown, *change_cmdline(subject, None, removed), "# takes effect at the next boot"]
    words = list(dict.fromkeys(visible(item.text) for item in named if item.source != sources.CMDLINE))
    removed = ", ".join(words) or f"{module}.nested={subject.policy.either(0, 1)}"
    return [
        f"grep -o '{module.replace('_', '[_-]')}.nested[^ ]*' /proc/cmdline  # of this boot",
        *change_cmdline(subject, None, removed),
        "# takes effect at the next boot",
    ]


def switch_assists_on(subject: Subject, finding: Finding) -> list[str]:
    """Enable the assists that are off."""
    names = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "0"}]
    options = " ".join(f"{name}=1" for name in names)
    write = f"printf 'options {module_of(subject)} {options}\\n' > /etc/modprobe.d/zz-kvm-assists.conf"
    load = next_load_of(subject)
    if load is None or load.nested is not subject.policy.is_required or load.is_built_in:
        mend = _mend_next_load(subject, finding)
        return [
            write,
            "# a reload now would change nested as well: make the next load right first, then reload:",
            *mend,
        ]
    return [write, *shut_down_first(subject), *reload_now(subject)]


def show_lines(subject: Subject, finding: Finding) -> list[str]:
    """Show each line: a person has to decide what was intended."""
    load = next_load_of(subject)
    if finding.cause is Cause.CONTRADICTED_LINE and load is not None and load.nested is not subject.policy.is_required:
        return _mend_what_wins(subject, finding, load)
    places = [re.fullmatch(r"(/[^:]+):(\d+)", item.source) for item in finding.evidence]
    show = [f"sed -n {place[2]}p {shlex.quote(place[1])}  # fix or delete it" for place in places if place]
    others = [item for item, place in zip(finding.evidence, places, strict=True) if place is None]
    remove = [f"# remove {visible(item.text)} in {visible(item.source)}" for item in others if item.source[:1] == "/"]
    return [*show, *remove, f"modprobe --show-depends {module_of(subject)}  # what kmod reads from the rest"]


def _mend_what_wins(subject: Subject, finding: Finding, load: NextLoad) -> list[str]:
    """The line that loses may be the right one: the one that wins is against the policy."""
    kept = [f"# keep {visible(item.source)}: {visible(item.text)}" for item in finding.evidence]
    return [
        *kept,
        f"# what wins over it is against the policy, or not valid: {visible(load.said_by)}",
        *_mend_next_load(subject, finding),
    ]
