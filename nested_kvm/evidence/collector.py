"""Observes many targets in parallel, each exactly once."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from nested_kvm.connection import (
    Connection,
    Settings,
    SshConnector,
    StartupRefused,
    connect,
    connect_by_agent,
    connect_limit,
)
from nested_kvm.connection.deadline import Deadline
from nested_kvm.errors import ConnectionFailed, LimitExceeded, NestedKvmError, NotObserved, ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import unusable_bundle
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.observe import observe
from nested_kvm.evidence.pace import Pace
from nested_kvm.evidence.probe import probe_script
from nested_kvm.inventory.target import Inventory, Target

if TYPE_CHECKING:
    from nested_kvm.evidence.since import EarlierRun


_SLACK = 10.0
"""Seconds for the steps without a limit."""

WhenObserved = Callable[[Bundle], None]
_MORE_TRIES: Final = 2
"""How often a target is tried again that refused a connection, as one of too many at once."""
_LEAST: Final = 4
"""Targets at once by which the run's own time limit is reckoned, where their number is not given."""
_ACTIVE: Final = 3
"""Executions that `active` adds to those of a target, by their time limits."""
_TURN: Final = 0.2
"""Seconds after which a wait is renewed, so that an interrupt is noticed."""


class Connections:
    """The connections to all targets, each opened once, when it is first needed."""

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        self._targets = {target.name: target for target in inventory}
        self._settings = settings
        self._connector = SshConnector(settings)
        self._open: dict[str, Connection | ObservationError] = {}
        self._is_closed = False
        self._locks = {name: Lock() for name in self._targets}

    def get(self, target: Target) -> Connection:
        """Return the connection to a target; to a `via: host` guest, through its L0's connection.

        Raises:
            ObservationError: the target is unreachable. It is tried once: later calls raise the same error.
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

    def forget(self, target: Target) -> None:
        """Let a target be tried again that could not be connected to."""
        with self._locks[target.name]:
            if isinstance(self._open.get(target.name), ObservationError):
                del self._open[target.name]

    def note_refusals(self, when_refused: Callable[[], None]) -> None:
        """Have each connection noted that a machine closes before SSH begins."""
        self._connector.when_refused = when_refused

    def close(self, names: Iterable[str] | None = None) -> None:
        """Close the connections to those targets; or to all for good, also those that are being opened."""
        self._is_closed = self._is_closed or names is None
        for name in list(self._open) if names is None else names:
            connection = self._open.get(name)
            if connection is not None and not isinstance(connection, ObservationError):
                connection.close()
        if self._is_closed:
            self._connector.close()

    def time_limit(
        self, targets: Iterable[Target], workers: int, *, active: bool = False, digests: bool = False
    ) -> float:
        """Return the seconds that suffice for these targets, `workers` at once, if each uses all of its limits."""
        more = (_ACTIVE * active + digests) * self._settings.probe_timeout
        limits = [self._limit(target) + more for target in targets]
        rounds = -(-len(limits) // max(1, workers))
        return rounds * max(limits, default=0.0) + _SLACK

    def _limit(self, target: Target) -> float:
        """Add up the connections to the target, the probe and libvirt, the last two with their start."""
        host = self._targets.get(target.host or "") if target.needs_host else None
        ways = [each.address for each in (host, target) if each is not None and each.address is not None]
        return sum(connect_limit(address, self._settings) for address in ways) + 4 * self._settings.probe_timeout

    def _try(self, target: Target) -> Connection | ObservationError:
        try:
            return self._connect(target)
        except ObservationError as error:
            return error

    def _connect(self, target: Target) -> Connection:
        if target.address is None:
            raise NotObserved(f"{target.name} has no address")
        via = self._via(target)
        if target.by_agent:
            return self._connect_by_agent(target, via)
        return connect(target.address, self._settings, name=target.name, via=via, connector=self._connector)

    def _connect_by_agent(self, target: Target, via: Connection | None) -> Connection:
        uri = self._targets[target.host].libvirt if target.host else None
        if via is None or uri is None:
            raise ConnectionFailed(
                f"{target.name}: a guest agent is queried through libvirt on the guest's host, and there is none"
            )
        return connect_by_agent(via, uri, target.domain or target.name, self._settings, target.name)

    def _via(self, target: Target) -> Connection | None:
        if not target.needs_host or target.host is None:
            return None
        try:
            return self.get(self._targets[target.host])
        except ObservationError as error:
            raise ConnectionFailed(f"{target.name}: unreachable through its host: {error}") from None


class _ConnectionRefs:
    """Counts the targets that still need each connection: their own, and their host's where they need it."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._count = Counter(name for target in targets for name in self._names(target))
        self._lock = Lock()

    def release(self, target: Target) -> list[str]:
        """Return the connections that are no longer needed, now that this target is done."""
        with self._lock:
            self._count.subtract(self._names(target))
            return [name for name in self._names(target) if self._count[name] == 0]

    @staticmethod
    def _names(target: Target) -> tuple[str, ...]:
        return (target.name, target.host) if target.needs_host and target.host else (target.name,)


@dataclass
class _WorkerPool:
    """The threads that observe pending targets until none is left."""

    connections: Connections
    settings: Settings
    active: bool
    questions: Sequence[Question] | None
    """About candidates, which are then all that is asked of a host with `active`."""
    refs: _ConnectionRefs | None
    """None: every connection stays open."""
    pace: Pace
    earlier: "EarlierRun | None" = None
    """The run whose evidence is taken for unchanged targets."""
    pending: SimpleQueue[Target] = field(default_factory=SimpleQueue)
    done: SimpleQueue[Bundle] = field(default_factory=SimpleQueue)

    workers: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def start(self, targets: Iterable[Target]) -> None:
        """Start the threads, as daemons: unlike an executor, an interrupted run does not wait for a hanging target."""
        for target in targets:
            self.pending.put(target)
        self._start_workers()

    def _start_workers(self) -> None:
        """Start as many threads as the pace allows, and as the targets that are left need."""
        with self.lock:
            wanted = min(self.pace.limit, self.workers + self.pending.qsize())
            while self.workers < wanted:
                self.workers += 1
                Thread(target=self._go_on, name=f"observe-{self.workers}", daemon=True).start()
            self.pace.reached(self.workers)

    def _go_on(self) -> None:
        while not self._leaves():
            try:
                target = self.pending.get_nowait()
            except Empty:
                with self.lock:
                    self.workers -= 1
                return
            self._observe_one(target)
            if self.pace.is_automatic:
                self._start_workers()

    def _leaves(self) -> bool:
        """Whether this thread is one too many by now; the last one never is."""
        with self.lock:
            is_one_too_many = self.workers > self.pace.limit
            self.workers -= is_one_too_many
            return is_one_too_many

    def _observe_one(self, target: Target) -> None:
        bundle = self._observe(target)
        self.pace.after_one()
        if self._is_tried_again(target, bundle):
            return
        self.done.put(bundle)
        if self.refs is not None:
            self.connections.close(self.refs.release(target))

    def _observe(self, target: Target) -> Bundle:
        try:
            connection = self.connections.get(target)
            if self.earlier is not None:
                return self.earlier.observe(target, connection, self.settings)
            return observe(target, connection, self.settings, active=self.active, questions=self.questions)
        except NestedKvmError as error:
            return unusable_bundle(target, error)
        except Exception as defect:  # noqa: BLE001 - our own defect is an error of this target, and affects no other
            return unusable_bundle(
                target, defect, f"{target.name}: internal error while inspecting it: {type(defect).__name__}: {defect}"
            )

    def _is_tried_again(self, target: Target, bundle: Bundle) -> bool:
        """Put a target back that refused a connection: perhaps only because too many were opened at once."""
        was_refused = bundle.failure is not None and bundle.failure.kind == StartupRefused.__name__
        if not was_refused or not self.pace.is_automatic or self.tries[target.name] >= _MORE_TRIES:
            return False
        self.tries[target.name] += 1
        self.connections.forget(target)
        self.pending.put(target)
        return True


def collect(
    inventory: Inventory,
    connections: Connections,
    settings: Settings,
    pace: Pace,
    when_observed: WhenObserved,
    *,
    active: bool = False,
    questions: Sequence[Question] | None = None,
    earlier: "EarlierRun | None" = None,
    keep_open: bool = True,
    deadline: Deadline | None = None,
) -> None:
    """Observe every target that has an address, as many at once as the pace allows, and pass on each bundle at once.

    Unless they are to be kept open, connections are closed as soon as no target needs them: a thousand at once
    exceed the default limit of open files.

    `when_observed` is called in the calling thread. At an interrupt all connections are closed at once, and also
    at `deadline`, by default when each target has had all the time of its limits: a target not done by then is
    an error.
    """
    # A guest waits for its host's connection, so the hosts come first: else guests could hold every worker.
    targets = sorted((each for each in inventory if each.address is not None), key=lambda each: each.needs_host)
    refs = None if keep_open else _ConnectionRefs(targets)
    connections.note_refusals(pace.refused)
    pool = _WorkerPool(connections, settings, active=active, questions=questions, refs=refs, pace=pace, earlier=earlier)
    workers = min(_LEAST if pace.is_automatic else pace.limit, len(targets))
    probe_script()  # made here once, not by every thread at the same time
    pool.start(targets)
    deadline = deadline or Deadline(
        connections.time_limit(targets, workers, active=active, digests=earlier is not None)
    )
    is_complete = False
    try:
        is_complete = _hand_over(targets, pool.done, when_observed, deadline)
    finally:
        if not is_complete:
            _drain(pool.pending)
            connections.close()


def _hand_over(
    targets: Sequence[Target], seen: SimpleQueue[Bundle], when_observed: WhenObserved, deadline: Deadline
) -> bool:
    """Pass on the bundles that are done in time, and an error for each other; return whether all were."""
    pending = {target.name: target for target in targets}
    while pending:
        bundle = _next(seen, deadline)
        if bundle is None:
            break
        del pending[bundle.target.name]
        when_observed(bundle)
    for target in pending.values():
        problem = f"{target.name}: not inspected within the time limit of the run ({deadline.seconds:.0f} s)"
        when_observed(unusable_bundle(target, LimitExceeded(problem)))
    return not pending


def _next(seen: SimpleQueue[Bundle], deadline: Deadline) -> Bundle | None:
    """Wait in short turns: an interrupt just before an endless wait would go unnoticed."""
    while True:
        with suppress(Empty):
            return seen.get(timeout=min(_TURN, deadline.remaining))
        if deadline.remaining <= 0:
            return None


def _drain(waiting: SimpleQueue[Target]) -> None:
    with suppress(Empty):
        while True:
            waiting.get_nowait()
