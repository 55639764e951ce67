"""Looks at many targets at once, each exactly once."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from nested_kvm.connection import AnyConnection, Settings, connect
from nested_kvm.errors import ConnectionFailed, NestedKvmError, NotObserved, ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.file import unusable_bundle
from nested_kvm.evidence.observation import observe
from nested_kvm.inventory.address import AGENT
from nested_kvm.inventory.target import Inventory, Target

WhenObserved = Callable[[Bundle], None]


class Connections:
    """The one connection of each target: opened when it is first asked for, and never a second time."""

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        self._targets = {target.name: target for target in inventory}
        self._settings = settings
        self._open: dict[str, AnyConnection | ObservationError] = {}
        self._locks = {name: threading.Lock() for name in self._targets}

    def to(self, target: Target) -> AnyConnection:
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
        return connection

    def close(self, names: Iterable[str] | None = None) -> None:
        """Let go of those targets, or of all."""
        for name in list(self._open) if names is None else names:
            connection = self._open.get(name)
            if connection is not None and not isinstance(connection, ObservationError):
                connection.close()

    def _try(self, target: Target) -> AnyConnection | ObservationError:
        try:
            return self._connect(target)
        except ObservationError as error:
            return error

    def _connect(self, target: Target) -> AnyConnection:
        if target.address is None:
            raise NotObserved(f"{target.name} has no address")
        if target.address.scheme == AGENT:
            raise ConnectionFailed(f"{target.name}: address `agent` is not supported by this version")
        return connect(target.address, self._settings, name=target.name, via=self._via(target))

    def _via(self, target: Target) -> AnyConnection | None:
        if not target.via_host or target.host is None:
            return None
        try:
            return self.to(self._targets[target.host])
        except ObservationError as error:
            raise ConnectionFailed(f"{target.name}: no way through its host: {error}") from None


def collect(
    inventory: Inventory,
    connections: Connections,
    settings: Settings,
    forks: int,
    when_observed: WhenObserved,
) -> None:
    """Observe every target that has an address, `forks` at once, and hand over each bundle as it is made.

    `when_observed` is called in the calling thread. Interrupted, it lets go of every connection at once.
    """
    executor = ThreadPoolExecutor(max_workers=max(1, forks), thread_name_prefix="observe")
    # A guest waits for its host's connection, so the hosts come first: else guests could hold every worker.
    targets = sorted((each for each in inventory if each.address is not None), key=lambda each: each.via_host)
    futures = [executor.submit(_observe, target, connections, settings) for target in targets]
    try:
        for future in as_completed(futures):
            when_observed(future.result())
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        connections.close()
        raise
    executor.shutdown()


def _observe(target: Target, connections: Connections, settings: Settings) -> Bundle:
    try:
        return observe(target, connections.to(target), settings)
    except NestedKvmError as error:
        return unusable_bundle(target, error)
