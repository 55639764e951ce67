"""Start and stop a lab, with retries for an emulation that sometimes panics or hangs."""

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from lab import image, keys, needs, watched
from lab.config import LabConfig
from lab.emulator import BOOT_LIMIT, Emulator
from lab.emulator_package import EmulatorPackage
from lab.errors import GuestHungError, HostLostError, LabError, NotRunningError, RemoteError
from lab.guests import named
from lab.host import Host
from lab.locks import locked
from lab.progress import say
from lab.snapshot import Snapshot

TRIES = 3


@dataclass(frozen=True)
class Session:
    """One lab, up or down."""

    config: LabConfig

    @property
    def emulator(self) -> Emulator:
        """The emulator's process."""
        return Emulator(self.config)

    @property
    def host_snapshot(self) -> Snapshot:
        """The host as it was before its first guest started."""
        return Snapshot(self.config)

    @property
    def full_snapshot(self) -> Snapshot:
        """The host with the guests that `lab up` starts."""
        return Snapshot(self.config, self.config.suite.first_guests)

    @property
    def host(self) -> Host:
        """The emulated host; usable only while the lab is up."""
        return Host(self.config)

    def is_up(self) -> bool:
        """Whether the emulator's process is running."""
        return self.emulator.pid() is not None

    def require_up(self) -> None:
        """Raise an error unless the lab is up."""
        if not self.is_up():
            raise NotRunningError(f"the {self.config.suite.name} lab is down; start it with make lab-up")

    def up(self, guests: Sequence[str] | None = None) -> None:
        """Build what is missing, start the host and some guests: the default set unless they are named."""
        needs.require_programs(self.config.suite.vendor)
        with self._alone():
            if self.is_up():
                say(f"the {self.config.suite.name} lab is up already")
                return
            needs.require_port(self.config.port)
            self._build()
            try:
                self._start_persistently(self.config.suite.first_guests if guests is None else guests)
            except BaseException:
                # Ctrl-C included: a partly started lab would keep running unnoticed.
                self.emulator.stop()
                raise

    def down(self) -> None:
        """Stop the lab; the image and the snapshot are kept."""
        with self._alone():
            self.emulator.stop()

    def _build(self) -> None:
        # Another lab may be building what they share.
        with locked(self.config.directory / "image.lock"):
            if not image.ready(self.config):
                say(f"building the {self.config.suite.name} image: usually 30 to 90 s, depending on the mirror")
                begun = time.monotonic()
                image.build(self.config)
                say(f"  built in {time.monotonic() - begun:.0f} s")
        if self.config.suite.vendor == "amd":
            EmulatorPackage.of(self.config).provide()
        keys.write_client_files(self.config)

    def _start_persistently(self, guests: Sequence[str]) -> None:
        """Start the host and its guests, again where emulated SVM panics or hangs, as it now and then does."""
        for left in reversed(range(TRIES)):
            try:
                self._start(guests)
            except (HostLostError, GuestHungError, RemoteError) as error:
                self.emulator.stop()
                self.forget_snapshots()
                if not left:
                    raise
                say(f"  {error}; starting again from a boot")
            else:
                return

    def _start(self, guests: Sequence[str]) -> None:
        """Start from a snapshot, or boot, which is done by one lab of a suite at a time: the next one restores that."""
        waiting = f"another {self.config.suite.name} lab is starting: waiting, as its snapshot can be restored"
        lock = self.config.directory / "snapshot.lock"
        with locked(lock, waiting=waiting) if self._has_snapshots else nullcontext():
            self._start_now(guests)

    def _start_now(self, guests: Sequence[str]) -> None:
        is_full = tuple(guests) == self.full_snapshot.guests
        if is_full and self._is_usable(self.full_snapshot):
            self._restore(self.full_snapshot)
            return
        if self._is_usable(self.host_snapshot):
            self._restore(self.host_snapshot)
        else:
            self._boot_host()
        for name in guests:
            self.start_guest(name)
        if guests and is_full and self._has_snapshots:
            self.full_snapshot.save()

    def _restore(self, snapshot: Snapshot) -> None:
        say(f"restoring a snapshot of {', '.join(['the host', *snapshot.guests])}: usually 5 to 15 s")
        begun = time.monotonic()
        self.emulator.start(snapshot)
        self.emulator.resume()
        self._await_host()
        self.host.set_clock()
        self.host.await_kvm()
        for name in snapshot.guests:
            self.host.guest(name).run("true")
        say(f"  restored after {time.monotonic() - begun:.0f} s")

    def _is_usable(self, snapshot: Snapshot) -> bool:
        return self._has_snapshots and snapshot.is_usable()

    def forget_snapshots(self) -> None:
        """Remove the snapshots, so that the next start boots: what failed may be in them."""
        with locked(self.config.directory / "snapshot.lock"):
            self.host_snapshot.forget()
            self.full_snapshot.forget()

    def _boot_host(self) -> None:
        say(f"starting the host: usually {self._usually}")
        begun = time.monotonic()
        self.emulator.start()
        self._await_host()
        self.host.await_kvm()
        self.host.define_all()
        say(f"  the host is up after {time.monotonic() - begun:.0f} s")
        if self._has_snapshots:
            self.host_snapshot.save()

    @property
    def _has_snapshots(self) -> bool:
        """Whether the emulator can save the host, not Bochs with its volatile disks, and this is the host to save."""
        return self.config.suite.vendor == "amd" and self.config.is_standard

    @property
    def _usually(self) -> str:
        slowness = self.config.suite.slowness
        return f"{10 * slowness} to {30 * slowness} s"

    def _await_host(self) -> None:
        limit = BOOT_LIMIT * self.config.suite.slowness
        begun = time.monotonic()
        while not self.host.shell.answers():
            watched.check_host(self.config)
            if time.monotonic() - begun > limit * watched.slowdown(self.config):
                raise HostLostError(f"the host did not answer in {time.monotonic() - begun:.0f} s")
            time.sleep(0.5)

    def start_guest(self, name: str, *, as_defined: bool = False) -> None:
        """Start one guest; the emulation does not survive several starting at once."""
        say(f"starting guest {name}: usually {self._usually}")
        begun = time.monotonic()
        self.host.start(named(name), as_defined=as_defined)
        say(f"  {name} is up after {time.monotonic() - begun:.0f} s")

    def reset(self) -> None:
        """Return to the state after `lab up`: nested on, and the first guests up."""
        if self._is_usable(self.full_snapshot):
            self.emulator.stop()
            self._start_persistently(self.full_snapshot.guests)
            return
        self.host.stop_all()
        self.host.set_nested(on=True)
        self.restore(list(self.config.suite.first_guests))

    def stop_guest(self, name: str) -> None:
        """Stop one guest."""
        self.host.stop(named(name))

    def restore(self, names: list[str]) -> None:
        """Start the named guests that are not running."""
        running = self.host.running()
        for name in names:
            if name not in running:
                self.start_guest(name)

    def set_nested(self, *, on: bool) -> None:
        """Reload the host's module with nested on or off, and restart the guests that were running."""
        ran = self.host.running()
        self.host.stop_all()
        self.host.set_nested(on=on)
        self.restore(ran)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lab's lock: two `lab up` at the same time would share a disk."""
        self.config.own.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.config.own / "lock", fcntl.LOCK_NB):
                yield
        except BlockingIOError as error:
            raise LabError(f"another lab command is running in {self.config.own}") from error
