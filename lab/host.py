"""The emulated host from within: its libvirt, its guests, and its KVM module."""

import shlex
import time
from dataclasses import dataclass

from lab.config import HOST, LabConfig
from lab.errors import GuestHungError, HostLostError, RemoteError
from lab.guests import GUESTS, Guest
from lab.shell import Answer, Shell

READY_LIMIT = 180
GUEST_LIMIT = 90
TRIES = 4
# sshd's greeting proves that the guest's init has come to its end; asking L0 costs one login, not one a try.
AWAIT = (
    "timeout {limit} bash -c 'until read -rt 5 line </dev/tcp/{address}/22 && [[ $line == SSH-* ]]; "
    "do sleep 0.5; done' 2>/dev/null"
)
# libvirt refuses this machine type where it looked for KVM too early.
AWAIT_KVM = (
    "timeout {limit} sh -c 'until test -c /dev/kvm && virsh -q domcapabilities --virttype kvm --machine q35; "
    "do sleep 0.5; done' >/dev/null 2>&1"
)


@dataclass(frozen=True)
class Host:
    """L0, spoken to over ssh."""

    config: LabConfig

    @property
    def shell(self) -> Shell:
        """A login on the host itself."""
        return Shell(self.config, HOST)

    def guest(self, name: str) -> Shell:
        """A login on a guest, by way of the host."""
        return Shell(self.config, name)

    def await_kvm(self) -> None:
        """Wait until there is a /dev/kvm and libvirt offers it: both come later than sshd on a busy machine.

        Raises:
            HostLostError: they did not come in time.
        """
        limit = READY_LIMIT * self.config.suite.slowness
        answer = self.shell.ask(AWAIT_KVM.format(limit=limit), limit=READY_LIMIT + 60)
        if answer.status:
            raise HostLostError(f"the host had no /dev/kvm, or libvirt none, within {limit} s (status {answer.status})")

    def set_clock(self) -> None:
        """Set the time of day: a restored host's is that of its snapshot."""
        self.shell.run(f"date -u -s @{time.time():.0f} >/dev/null")

    def define_all(self) -> None:
        """Give libvirt every guest, each with a disk of its own over the shared image."""
        script = [
            "set -e",
            "cd /var/lib/libvirt/images",
            f"qemu-img create -q -f qcow2 -F raw -b {self.config.suite.disk}b empty",
        ]
        for guest in GUESTS:
            script += [f"cp empty {guest.name}.qcow2", _define(guest.xml(self.config.suite))]
        self.shell.run("\n".join(script), limit=180)

    def running(self) -> list[str]:
        """The guests that libvirt says run, in the order of the table."""
        names = set(self.shell.run("virsh -q list --name").split())
        return [guest.name for guest in GUESTS if guest.name in names]

    def start(self, guest: Guest, *, as_defined: bool = False) -> None:
        """Start a guest and wait for its sshd; one that hangs is power-cycled.

        Args:
            guest: which one.
            as_defined: with the definition that libvirt has, whatever the table says.
        """
        for _ in range(TRIES):
            if self._started(guest, as_defined=as_defined).status == 0:
                return
            self.stop(guest)
        raise GuestHungError(f"guest {guest.name} did not answer in {TRIES} starts of {GUEST_LIMIT} s each")

    def _started(self, guest: Guest, *, as_defined: bool) -> Answer:
        """Its own definition is put in place first, and the one that stays last, unless it keeps what it has."""
        script = [
            *([] if as_defined else [_define(guest.starting_xml(self.config.suite))]),
            f"virsh -q start {guest.name} >/dev/null",
            AWAIT.format(limit=GUEST_LIMIT * self.config.suite.slowness, address=guest.address),
            *([] if as_defined else [_define(guest.xml(self.config.suite))]),
        ]
        answer = self.shell.ask("\n".join(["set -e", *script]), limit=GUEST_LIMIT + 60)
        if answer.status not in (0, 124):
            raise RemoteError(f"guest {guest.name} does not start: {answer.err.strip() or answer.out.strip()}")
        return answer

    def stop(self, guest: Guest) -> None:
        """Pull its plug: the ten-line init of a guest heeds no power button."""
        self.shell.run(f"virsh -q destroy {guest.name} >/dev/null 2>&1 || true")

    def stop_all(self) -> None:
        """Stop every guest, so that nothing holds the module."""
        self.shell.run("for name in $(virsh -q list --name); do virsh -q destroy $name; done")

    def set_nested(self, *, on: bool) -> None:
        """Reload the KVM module with nested as wanted; no guest may run."""
        module = self.config.suite.module
        self.shell.run(f"modprobe -r {module} && modprobe {module} nested={int(on)}")

    def nested(self) -> bool:
        """What the running module says."""
        parameter = f"/sys/module/{self.config.suite.module}/parameters/nested"
        return self.shell.run(f"cat {parameter}").strip() in {"1", "Y"}


def _define(xml: str) -> str:
    return f"printf %s {shlex.quote(xml)} | virsh -q define /dev/stdin >/dev/null"
