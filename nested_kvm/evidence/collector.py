"""Looks at many targets at once, each exactly once."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final

from nested_kvm.connection import AnyConnection, Settings, SshWays, connect, connect_by_agent, connect_limit
from nested_kvm.connection.deadline import Deadline
from nested_kvm.errors import ConnectionFailed, LimitExceeded, NestedKvmError, NotObserved, ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import unusable_bundle
from nested_kvm.evidence.observe import observe
from nested_kvm.inventory.target import Inventory, Target

_SLACK = 10.0
"""Seconds for all that has no limit of its own."""

WhenObserved = Callable[[Bundle], None]
_TURN: Final = 0.2
"""Seconds."""


class Connections:
    """The one connection of each target: opened when it is first asked for, and never a second time."""

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        self._targets = {target.name: target for target in inventory}
        self._settings = settings
        self._ways = SshWays(settings)
        self._open: dict[str, AnyConnection | ObservationError] = {}
        self._is_closed = False
        self._locks = {name: Lock() for name in self._targets}

    def get(self, target: Target) -> AnyConnection:
        """The connection to a target; a `via: host` guest's leads through its L0's.

        Raises:
            ObservationError: there is none. A target is tried once: every later call says the same.
        """
        with self._locks[target.name]:
            if target.name not in self._open:
                self._open[target.name] = self._try(target)
            connection = self._open[target.name]
        if isinstance(connection, ObservationError):
            raise connection
        if self._is_closed:
            connection.close()
        return connection

    def close(self, names: Iterable[str] | None = None) -> None:
        """Let go of those targets, or of all for good: also of one that is only being connected to."""
        self._is_closed = self._is_closed or names is None
        for name in list(self._open) if names is None else names:
            connection = self._open.get(name)
            if connection is not None and not isinstance(connection, ObservationError):
                connection.close()
        if self._is_closed:
            self._ways.close()

    def time_limit(self, targets: Iterable[Target], workers: int) -> float:
        """Return seconds that suffice for these targets, `workers` at once, if each uses up all of its limits."""
        limits = [self._limit(target) for target in targets]
        rounds = -(-len(limits) // max(1, workers))
        return rounds * max(limits, default=0.0) + _SLACK

    def _limit(self, target: Target) -> float:
        """Add up the ways to the target, and two looks: the probe and libvirt, each of which also needs a start."""
        host = self._targets.get(target.host or "") if target.needs_host else None
        ways = [each.address for each in (host, target) if each is not None and each.address is not None]
        return sum(connect_limit(address, self._settings) for address in ways) + 4 * self._settings.probe_timeout

    def _try(self, target: Target) -> AnyConnection | ObservationError:
        try:
            return self._connect(target)
        except ObservationError as error:
            return error

    def _connect(self, target: Target) -> AnyConnection:
        if target.address is None:
            raise NotObserved(f"{target.name} has no address")
        via = self._via(target)
        if target.by_agent:
            return self._connect_by_agent(target, via)
        return connect(target.address, self._settings, name=target.name, via=via, ways=self._ways)

    def _connect_by_agent(self, target: Target, via: AnyConnection | None) -> AnyConnection:
        uri = self._targets[target.host].libvirt if target.host else None
        if via is None or uri is None:
            raise ConnectionFailed(
                f"{target.name}: an agent is asked by libvirt on the guest's host, and there is none"
            )
        return connect_by_agent(via, uri, target.domain or target.name, self._settings, target.name)

    def _via(self, target: Target) -> AnyConnection | None:
        if not target.needs_host or target.host is None:
            return None
        try:
            return self.get(self._targets[target.host])
        except ObservationError as error:
            raise ConnectionFailed(f"{target.name}: no way through its host: {error}") from None


class _Users:
    """Which targets still need which connection: their own, and that of the host that they are reached through."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._count = Counter(name for target in targets for name in self._names(target))
        self._lock = Lock()

    def release(self, target: Target) -> list[str]:
        """The connections that nobody needs any more, now that this target is done."""
        with self._lock:
            self._count.subtract(self._names(target))
            return [name for name in self._names(target) if self._count[name] == 0]

    @staticmethod
    def _names(target: Target) -> tuple[str, ...]:
        return (target.name, target.host) if target.needs_host and target.host else (target.name,)


@dataclass
class _Work:
    """What each thread does: it takes a target and looks at it, until none is left."""

    connections: Connections
    settings: Settings
    active: bool
    users: _Users | None
    """None: every connection stays open."""
    waiting: SimpleQueue[Target] = field(default_factory=SimpleQueue)
    seen: SimpleQueue[Bundle] = field(default_factory=SimpleQueue)

    def start(self, targets: Iterable[Target], workers: int) -> None:
        """Begin. As daemons: an interrupted run waits for no target that hangs, as with an executor it would."""
        for target in targets:
            self.waiting.put(target)
        for number in range(workers):
            Thread(target=self._go_on, name=f"observe-{number}", daemon=True).start()

    def _go_on(self) -> None:
        with suppress(Empty):
            while True:
                target = self.waiting.get_nowait()
                self.seen.put(_observe(target, self.connections, self.settings, active=self.active))
                if self.users is not None:
                    self.connections.close(self.users.release(target))


def collect(
    inventory: Inventory,
    connections: Connections,
    settings: Settings,
    forks: int,
    when_observed: WhenObserved,
    *,
    active: bool = False,
    keep_open: bool = True,
    deadline: Deadline | None = None,
) -> None:
    """Observe every target that has an address, `forks` at once, and hand over each bundle as it is made.

    Unless they are to be kept open, connections are closed as soon as no target needs them: a thousand at once are
    more files than a process may open by default.

    `when_observed` is called in the calling thread. Interrupted, it lets go of every connection at once; and so it
    does at `deadline`, by default when each target has had all the time that its limits allow: what is not done
    then is an error.
    """
    # A guest waits for its host's connection, so the hosts come first: else guests could hold every worker.
    targets = sorted((each for each in inventory if each.address is not None), key=lambda each: each.needs_host)
    users = None if keep_open else _Users(targets)
    work = _Work(connections, settings, active=active, users=users)
    workers = min(max(1, forks), len(targets))
    work.start(targets, workers)
    deadline = deadline or Deadline(connections.time_limit(targets, workers))
    is_complete = False
    try:
        is_complete = _hand_over(targets, work.seen, when_observed, deadline)
    finally:
        if not is_complete:
            _drain(work.waiting)
            connections.close()


def _hand_over(
    targets: Sequence[Target], seen: SimpleQueue[Bundle], when_observed: WhenObserved, deadline: Deadline
) -> bool:
    """Hand over what is done in time, and an error for what is not; tell whether all was."""
    pending = {target.name: target for target in targets}
    while pending:
        bundle = _next(seen, deadline)
        if bundle is None:
            break
        del pending[bundle.target.name]
        when_observed(bundle)
    for target in pending.values():
        problem = f"{target.name}: it was not looked at when the run's time was over ({deadline.seconds:.0f} s)"
        when_observed(unusable_bundle(target, LimitExceeded(problem)))
    return not pending


def _next(seen: SimpleQueue[Bundle], deadline: Deadline) -> Bundle | None:
    """Wait in short turns: an interrupt that comes just before a wait without an end would not be seen in it."""
    while True:
        with suppress(Empty):
            return seen.get(timeout=min(_TURN, deadline.remaining))
        if deadline.remaining <= 0:
            return None


def _drain(waiting: SimpleQueue[Target]) -> None:
    with suppress(Empty):
        while True:
            waiting.get_nowait()


def _observe(target: Target, connections: Connections, settings: Settings, *, active: bool) -> Bundle:
    try:
        return observe(target, connections.get(target), settings, active=active)
    except NestedKvmError as error:
        return unusable_bundle(target, error)
    except Exception as defect:  # noqa: BLE001 - the suite's own defect is an error of this target, and spoils no other
        return unusable_bundle(target, defect, f"{target.name}: looking at it broke: {type(defect).__name__}: {defect}")
