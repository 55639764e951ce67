"""What the hosts saw: sshd's log says who was let in, and what was started."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

_LINE: Final = re.compile(
    r"(?P<came>Connection from)|(?P<entered>Accepted publickey)|(?P<began>Starting session: (?:command|subsystem))"
)
_FROM: Final = re.compile(r"from (?P<visitor>\S+ port \d+)(?: on (?P<host>\S+) port)?")


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that any host had."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"

    @classmethod
    def over(cls, counts: Mapping[str, int], hosts: Sequence[str]) -> Self:
        """Return the range over all hosts; one that is not in `counts` had none."""
        found = [counts.get(host, 0) for host in hosts]
        return cls(min(found), max(found))


@dataclass(frozen=True, slots=True)
class Visits:
    """Per host: the number of logins, and of sessions (commands, subsystems) that were started."""

    logins: Range
    executions: Range

    @classmethod
    def parse(cls, log: str, hosts: Sequence[str]) -> Self:
        """Count in a part of sshd's log at LogLevel VERBOSE; a visitor is identified by address and port."""
        at: dict[str, str] = {}
        logins: Counter[str] = Counter()
        executions: Counter[str] = Counter()
        for line in log.splitlines():
            kind, whence = _LINE.search(line), _FROM.search(line)
            if kind is None or whence is None:
                continue
            if kind["came"]:
                at[whence["visitor"]] = whence["host"]
            else:
                (logins if kind["entered"] else executions)[at.get(whence["visitor"], "")] += 1
        return cls(Range.over(logins, hosts), Range.over(executions, hosts))
