"""The options of the bench's command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[1]
MOST_HOSTS: Final = 10_000
_ANSIBLE_SAMPLE: Final = 200

_WHAT: Final = """\
Brings up real SSH hosts on loopback, each with its own address and the files of a KVM host, behind the round-trip time
of a network, and measures side by side:

  floor                        paramiko alone: connect, verify the host key, log in, run `true`, close
  empty items                  pytest alone: as many empty tests as the audit had results
  suite                        the audit, from its start until its last report
  plain Testinfra, paramiko    the same questions with Testinfra's own modules, on --sample hosts
  plain Testinfra, ssh         … over the ssh program
  Ansible script               the same probe run by Ansible's `script`, on --ansible-sample hosts
  one host                     the audit of one host without network delay; also the seconds until its first verdict

For each: seconds, CPU seconds of it and of the processes it waited for, memory of its largest process, and from sshd's
log the logins and sessions of each host.
"""
_NOTES: Final = """\
examples:
  make bench
  .venv/bin/python -m bench --hosts 1000 --repeat 3
  .venv/bin/python -m bench --hosts 10 --growth '' --sample 1 --ansible-sample 2     # a first impression: half a minute

It needs root, openssh-server and kmod (make bench-deps installs them). Everything runs in its own network, mount and
process namespaces and ends with them; only the results are written. sshd, proxy and what is measured share this
machine's CPUs, so compare only figures of one run, and check the load that is printed with them.
It is not a test: it reports which targets are met, and exits with 0 either way.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """How large the bench is."""

    hosts: int
    rtt_ms: float
    """Milliseconds from a host's door and back."""
    forks: int
    sample: int
    ansible_sample: int
    growth: tuple[int, ...]
    """Numbers of hosts, below `hosts`, that floor and suite are measured with as well."""
    repeat: int
    output: Path

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read a command line; argparse ends the program where it is wrong, or asks for help."""
        parser = _parser()
        given = parser.parse_args(words)
        asked = given.ansible_sample or _ANSIBLE_SAMPLE
        return cls(
            hosts=given.hosts,
            rtt_ms=given.rtt,
            forks=given.forks,
            sample=min(given.sample, given.hosts),
            ansible_sample=min(asked, given.hosts),
            growth=tuple(sorted({size for size in given.growth if size < given.hosts})),
            repeat=given.repeat,
            output=given.output.absolute(),
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench", description=_WHAT, epilog=_NOTES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--hosts", type=_count, default=200, metavar="N", help="how many hosts (default %(default)s)")
    add("--rtt", type=_milliseconds, default=20.0, metavar="MS", help="round trip, 0: none (default %(default)g ms)")
    add("--forks", type=_count, default=32, metavar="N", help="hosts at once, for all (default %(default)s)")
    add("--sample", type=_count, default=5, metavar="N", help="hosts of plain Testinfra (default %(default)s)")
    add("--ansible-sample", type=_count, metavar="N", help=f"hosts of Ansible (default all, at most {_ANSIBLE_SAMPLE})")
    add("--growth", type=_counts, default=(1, 10, 100), metavar="N,N", help="smaller fleets as well (1,10,100)")
    add("--repeat", type=_count, default=1, metavar="N", help="rounds; the median counts (default %(default)s)")
    folder = ROOT / "reports" / "bench"
    add("--output", type=Path, default=folder, metavar="DIR", help="where results are kept (reports/bench)")
    return parser


def _count(word: str) -> int:
    if not word.isascii() or not word.isdigit() or not 1 <= int(word) <= MOST_HOSTS:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 to {MOST_HOSTS}")
    return int(word)


def _counts(words: str) -> tuple[int, ...]:
    return tuple(map(_count, filter(None, words.split(","))))


def _milliseconds(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 10_000:  # noqa: PLR2004 - ten seconds are more than any network takes
        raise argparse.ArgumentTypeError(f"{word!r} is no number of milliseconds from 0 to 10000")
    return number
