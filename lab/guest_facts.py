"""Facts read inside a guest, independent of its XML and of the audit."""

from dataclasses import dataclass

from lab.shell import Shell

L2_LIMIT = 120
FACTS = """
flag={flag}
grep -c '^processor' /proc/cpuinfo
grep -E '^flags[[:space:]]*:' /proc/cpuinfo | grep -cw "$flag"
test -c /dev/kvm && echo kvm || echo none
"""


@dataclass(frozen=True)
class GuestFacts:
    """What a guest reads about itself."""

    cpus: int
    cpus_with_flag: int
    has_kvm: bool

    @property
    def flag(self) -> bool:
        """Whether every CPU has the flag: an L2 fails if one lacks it."""
        return self.cpus > 0 and self.cpus == self.cpus_with_flag


def read(guest: Shell) -> GuestFacts:
    """Read a guest's /proc/cpuinfo and /dev/kvm."""
    cpus, flagged, device = guest.run(FACTS.format(flag=guest.config.suite.flag), limit=60).split()
    return GuestFacts(int(cpus), int(flagged), device == "kvm")


def l2_answers(guest: Shell) -> bool:
    """Whether an L2 boots under KVM in this guest."""
    return guest.ask("boot-l2", limit=L2_LIMIT).out.strip() == "L2OK"


def nested_runs(host: Shell, domain: str) -> int:
    """Return KVM's count of entries into L2s of that domain."""
    script = f"""
    pid=$(cat /run/libvirt/qemu/{domain}.pid)
    cat /sys/kernel/debug/kvm/"$pid"-*/nested_run
    """
    return int(host.run(script))
