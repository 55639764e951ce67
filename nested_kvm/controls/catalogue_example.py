"""A plain host on AMD and its guest, for which the handbook shows the fix of each cause."""

from datetime import UTC, datetime
from typing import Final

from nested_kvm.evidence.bundle import Bundle, DomainRecord, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Control, Level
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Evidence, Finding
from nested_kvm.remediation import remediation

HOST: Final = "kvm-a"
GUEST: Final = "ci-1"
_URI: Final = "qemu:///system"
_READINGS: Final = {
    "uname -m": "x86_64",
    "/proc/cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu lm svm npt",
}
_FORBIDDING: Final = {
    Cause.NESTED_ON,
    Cause.PERSISTED_ON,
    Cause.DOMAIN_GIVES_FLAG,
    Cause.SAVED_STATE_HAS_FLAG,
    Cause.FLAG_PRESENT,
}
_EVIDENCE: Final = {
    Cause.ASSIST_OFF: Evidence("/sys/module/kvm_amd/parameters/npt", "0"),
    Cause.GUEST_HAS_FLAG: Evidence("/proc/4242/cmdline", f"-name {GUEST} -cpu host"),
    Cause.PROCESS_CONTRADICTS_DEFINITION: Evidence("/proc/4242/cmdline", f"-name {GUEST} -cpu qemu64"),
    Cause.PERSISTED_VALUE_INVALID: Evidence("/etc/modprobe.d/kvm.conf:1", "options kvm_amd nested=y"),
}
_FIXED_AT: Final = {
    Cause.DOMAIN_EMULATED: Level.DOMAIN,
    Cause.MEMORY_ENCRYPTION: Level.DOMAIN,
    Cause.POWER_CYCLE_PENDING: Level.DOMAIN,
    Cause.PROCESS_CONTRADICTS_DEFINITION: Level.DOMAIN,
    Cause.FLAG_MISSING: Level.L1,
    Cause.UNDIAGNOSED: Level.L1,
}
"""Where the cause of a broken pair is fixed, if not on the host itself."""
_LINE: Final = Evidence("/etc/modprobe.d/kvm.conf:1", "options kvm_amd nested=0")


def example_remedy(control: Control, cause: Cause) -> list[str]:
    """The commands to fix a cause there, one a line."""
    is_forbidding = control.only is Nested.FORBIDDEN or cause in _FORBIDDING
    policy = Policy(Nested.FORBIDDEN if is_forbidding else Nested.REQUIRED)
    level = control.level if control.level is not Level.PAIR else _FIXED_AT.get(cause, Level.L0)
    return remediation(_subject(level, policy), Finding(cause, "", _EVIDENCE.get(cause, _LINE)))


def _subject(level: Level, policy: Policy) -> Subject:
    if level is Level.L1:
        return Subject(_machine(GUEST, TargetLevel.L1, policy), GUEST, policy)
    host = _machine(HOST, TargetLevel.L0, policy)
    return Subject(host, GUEST, policy, GUEST) if level is Level.DOMAIN else Subject(host, HOST, policy)


def _machine(name: str, level: TargetLevel, policy: Policy) -> Machine:
    is_host = level is TargetLevel.L0
    address = Address.parse(f"ssh://root@{name}.example.net")
    host, uri = (None, _URI) if is_host else (HOST, None)
    target = Target(name, level, address, policy, host=host, domain=None if is_host else name, libvirt=uri)
    domains = LibvirtAnswer(_URI, "libvirt", domains=(DomainRecord(GUEST, "", "running"),))
    readings = {source: Reading(source, Status.OK, text) for source, text in _READINGS.items()}
    observed = datetime(2026, 1, 1, tzinfo=UTC)
    return Machine(Bundle(target, observed, "", readings, libvirt=domains if is_host else None))
