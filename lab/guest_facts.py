"""The truth about a guest, read inside it: no XML, no promise, no sentence of the audit's."""

from dataclasses import dataclass

from lab.shell import Shell

L2_LIMIT = 120
LOOK = """
flag={flag}
grep -c '^processor' /proc/cpuinfo
grep -E '^flags[[:space:]]*:' /proc/cpuinfo | grep -cw "$flag"
test -c /dev/kvm && echo kvm || echo none
"""


@dataclass(frozen=True)
class GuestFacts:
    """What a guest sees of itself."""

    cpus: int
    cpus_with_flag: int
    has_kvm: bool

    @property
    def flag(self) -> bool:
        """Whether every CPU has the flag: one without it is enough for an L2 to fail."""
        return self.cpus > 0 and self.cpus == self.cpus_with_flag


def read(guest: Shell) -> GuestFacts:
    """Read a guest's own cpuinfo and /dev/kvm."""
    cpus, flagged, device = guest.run(LOOK.format(flag=guest.config.suite.flag), limit=60).split()
    return GuestFacts(int(cpus), int(flagged), device == "kvm")


def l2_answers(guest: Shell) -> bool:
    """Whether a guest of this guest boots under KVM and says so."""
    return guest.ask("boot-l2", limit=L2_LIMIT).out.strip() == "L2OK"


def nested_runs(host: Shell, domain: str) -> int:
    """How often L0 has entered an L2 of that domain, from KVM's own counters."""
    script = f"""
    pid=$(cat /run/libvirt/qemu/{domain}.pid)
    cat /sys/kernel/debug/kvm/"$pid"-*/nested_run
    """
    return int(host.run(script))
