"""Exposure in words, for the head of every report: who, since when the fix exists, and the two ways out."""

from collections.abc import Iterator, Sequence
from typing import Final

from nested_kvm.model.advisory import OLD_AFTER
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.lines import place
from nested_kvm.results.exposure import CveExposure, HostExposure
from nested_kvm.results.run import Run
from nested_kvm.util.text import plural, printable

CONTROL: Final = "L0-SEC-03"
WAYS_OUT: Final = (
    "two ways out: update the kernel and boot it; or switch nesting off until then "
    f"(the commands for each host are in the finding of {CONTROL})"
)
_STATES: Final = {"fixed": "fixed", "closed": "not fixed, not reachable", "open": "OPEN", "undecided": "not decided"}


def exposed_hosts(run: Run) -> list[HostExposure]:
    """Return the hosts whose guests certainly reach a vulnerability, the first fix first."""
    exposed = [host for host in run.exposures if host.open]
    return sorted(exposed, key=lambda host: (min(each.published for each in host.open), host.target))


def exposure_headline(run: Run) -> str:
    """Return how many hosts are exposed; empty: none is known to be."""
    exposed = exposed_hosts(run)
    if not exposed:
        return ""
    undecided = sum(host.state == "undecided" for host in run.exposures)
    rest = f"; of {undecided} it is not decided" if undecided else ""
    first = min(each.published for host in exposed for each in host.open)
    return f"EXPOSED: {plural(len(exposed), 'host')} of {len(run.exposures)}, with fixes published since {first}{rest}"


def exposed_line(host: HostExposure) -> str:
    """Return one exposed host in a line: its kernel, what is open and since when, its guests and its device."""
    named = ", ".join(f"{_named(each)} since {each.published}" for each in host.open)
    guests = ", ".join(host.guests)
    parts = [
        f"{host.target} runs {host.kernel}",
        f"open: {named}",
        f"guests that hold the flag now: {guests or 'none known'}",
        "every account may open /dev/kvm" if host.device_is_open else "",
        f"fixed kernel installed, not booted: {host.installed_fix}" if host.installed_fix else "",
        host.reach,
    ]
    return printable("; ".join(filter(None, parts)), 2000)


def proof_lines(host: HostExposure) -> Iterator[str]:
    """Return a line for each advisory on a host: its state, and what shows it."""
    yield printable(f"{host.target}: {host.state}; {host.kernel}; {host.reach}", 1000)
    for each in host.cves:
        proof = "" if each.proof is None else f" [{each.proof.source}: {each.proof.text}]"
        yield f"  {printable(f'{_named(each)}: {_STATES[each.state]}: {each.reason}{proof}', 600)}"


def has_guarded(run: Run) -> bool:
    """Whether any target's policy makes the state of each advisory the question."""
    return any(each.policy is not None and each.policy.is_guarded for each in run.targets)


def still_showing(run: Run) -> list[str]:
    """Return the guests that must not nest, and keep the flag until they are powered off and started."""
    inside = [each for each in run.with_outcome(Outcome.FAIL) if each.cause is Cause.FLAG_PRESENT]
    found = {place(each) for each in inside}
    names = {each.subject for each in inside}
    for host in run.exposures:
        if host.forbids:
            found.update(printable(f"{guest} on {host.target}") for guest in host.guests if guest not in names)
    return sorted(found)


def still_showing_line(run: Run) -> str:
    """Return these guests in one line; empty: there is none."""
    names = still_showing(run)
    return f"still show the flag until they are powered off and started: {_some(names)}" if names else ""


def advisory_age_line(run: Run) -> str:
    """Return that the advisory data is old; empty: it is not, or its day is not known."""
    if run.advisories_dated is None:
        return ""
    age = run.started.date() - run.advisories_dated
    if age <= OLD_AFTER:
        return ""
    return (
        f"the advisory data is {age.days} days old ({run.advisories_dated}): this run knows no newer vulnerabilities; "
        "update nested-kvm-compliance, or give newer data with --advisories"
    )


def _named(cve: CveExposure) -> str:
    return cve.id if cve.name is None else f"{cve.id} ({cve.name})"


def _some(names: Sequence[str], most: int = 50) -> str:
    rest = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
