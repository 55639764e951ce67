"""The emulated host over ssh: its libvirt, its guests, and its KVM module."""

import shlex
import time
from dataclasses import dataclass

from lab import watched
from lab.config import HOST, LabConfig
from lab.errors import GuestHungError, HostLostError, RemoteError
from lab.guests import GUESTS, Guest
from lab.shell import Answer, Shell

READY_LIMIT = 180
GUEST_LIMIT = 90
"""Seconds on an idle machine."""
TRIES = 4
# sshd's banner proves that the guest's init is done; polling on L0 takes one login, not one for each attempt.
AWAIT = (
    "timeout {limit} bash -c 'until read -rt 5 line </dev/tcp/{address}/22 && [[ $line == SSH-* ]]; "
    "do sleep 0.5; done' 2>/dev/null"
)
# A libvirtd that probed QEMU before /dev/kvm existed refuses this machine type.
AWAIT_KVM = (
    "timeout {limit} sh -c 'until test -c /dev/kvm && virsh -q domcapabilities --virttype kvm --machine q35; "
    "do sleep 0.5; done' >/dev/null 2>&1"
)
STOP_LIMIT = 90
UNLOAD_LIMIT = 120
UNLOAD = f"""
# With no guest running, libvirt still holds the module for as long as it takes to probe QEMU.
unload() {{
    timeout {UNLOAD_LIMIT} sh -c "until modprobe -r $module 2>/dev/null; do sleep 1; done" || modprobe -r "$module"
}}
"""
# libvirt gives a QEMU 40 seconds to die, and then leaves its domain "in shutdown". What ends a little later is fine.
UNSTOPPABLE = r"""
left() {
    for name in $(pgrep -a qemu-system | sed -n 's/.* guest=\([^,]*\),.*/\1/p'); do
        case $(virsh -q domstate "$name") in running | paused) ;; *) echo "$name" ;; esac
    done
}
for try in 1 2 3 4 5 6 7 8 9 10; do
    test -n "$(left)" || exit 0
    sleep 1
done
left
"""


@dataclass(frozen=True)
class Host:
    """The emulated L0."""

    config: LabConfig

    @property
    def shell(self) -> Shell:
        """A shell on the host itself."""
        return Shell(self.config, HOST)

    def guest(self, name: str) -> Shell:
        """A shell on a guest, through the host."""
        return Shell(self.config, name)

    def await_kvm(self) -> None:
        """Wait until /dev/kvm exists and libvirt offers KVM: on a busy machine sshd answers first.

        Raises:
            HostLostError: they were not ready in time.
        """
        limit = round(READY_LIMIT * watched.slowdown(self.config))
        script = AWAIT_KVM.format(limit=limit * self.config.suite.slowness)
        answer = self.shell.ask(script, limit=limit + 60)
        if answer.status:
            raise HostLostError(f"/dev/kvm and libvirt were not ready in time (status {answer.status})")

    def set_clock(self) -> None:
        """Set the time of day; a restored host starts with the snapshot's."""
        self.shell.run(f"date -u -s @{time.time():.0f} >/dev/null")

    def define_all(self) -> None:
        """Define every guest, each with its own disk over the shared image."""
        script = [
            "set -e",
            "cd /var/lib/libvirt/images",
            f"qemu-img create -q -f qcow2 -F raw -b {self.config.suite.disk}b empty",
        ]
        for guest in GUESTS:
            script += [f"cp empty {guest.name}.qcow2", _define(guest.xml(self.config.suite))]
        self.shell.run("\n".join(script), limit=180)

    def running(self) -> list[str]:
        """The running guests according to libvirt, in the order of GUESTS."""
        names = set(self.shell.run("virsh -q list --name").split())
        return [guest.name for guest in GUESTS if guest.name in names]

    def start(self, guest: Guest, *, as_defined: bool = False) -> None:
        """Start a guest and wait for its sshd; power-cycle it if it hangs.

        Args:
            guest: the guest to start.
            as_defined: keep the definition that libvirt has instead of the table's.
        """
        for _ in range(TRIES):
            if self._started(guest, as_defined=as_defined).status == 0:
                return
            self.stop(guest)
        raise GuestHungError(f"guest {guest.name} did not answer in {TRIES} starts")

    def _started(self, guest: Guest, *, as_defined: bool) -> Answer:
        """Start it once: define the starting XML, start, wait, and define the persistent XML."""
        limit = round(GUEST_LIMIT * watched.slowdown(self.config))
        script = [
            *([] if as_defined else [_define(guest.starting_xml(self.config.suite))]),
            f"virsh -q start {guest.name} >/dev/null",
            AWAIT.format(limit=limit * self.config.suite.slowness, address=guest.address),
            *([] if as_defined else [_define(guest.xml(self.config.suite))]),
        ]
        answer = self.shell.ask("\n".join(["set -e", *script]), limit=limit + 60)
        if answer.status not in (0, 124):
            raise RemoteError(f"guest {guest.name} does not start: {answer.err.strip() or answer.out.strip()}")
        return answer

    def stop(self, guest: Guest) -> None:
        """Destroy a guest: its ten-line init ignores the power button.

        Raises:
            HostLostError: its QEMU does not end, as when emulated SVM never leaves a guest.
        """
        self._stop(guest.name)

    def stop_all(self) -> None:
        """Destroy every guest, so that none uses the module.

        Raises:
            HostLostError: a guest's QEMU does not end.
        """
        self._stop("$(virsh -q list --name)")

    def _stop(self, names: str) -> None:
        self.shell.ask(f"for name in {names}; do virsh -q destroy $name; done", limit=STOP_LIMIT)
        if left := self.unstoppable():
            raise HostLostError(f"the QEMU of {', '.join(left)} does not end")

    def unstoppable(self) -> list[str]:
        """The guests whose QEMU is alive though libvirt does not call them running, or no longer."""
        return self.shell.run(UNSTOPPABLE, limit=STOP_LIMIT).split()

    def set_nested(self, *, on: bool) -> None:
        """Reload the KVM module with nested on or off; no guest may be running."""
        self.reload(f"nested={int(on)}")

    def reload(self, option: str = "") -> None:
        """Reload the KVM module, with an option in place of modprobe.d's; no guest may be running."""
        script = f"module={self.config.suite.module}\n{UNLOAD}\nunload && modprobe $module {option}"
        self.shell.run(script, limit=UNLOAD_LIMIT + 60)

    def nested(self) -> bool:
        """Whether nested is on in the loaded module."""
        parameter = f"/sys/module/{self.config.suite.module}/parameters/nested"
        return self.shell.run(f"cat {parameter}").strip() in {"1", "Y"}


def _define(xml: str) -> str:
    return f"printf %s {shlex.quote(xml)} | virsh -q define /dev/stdin >/dev/null"
