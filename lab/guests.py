"""The guests: one for each kind of CPU definition, with what each really gets."""

import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lab.config import Suite

NAMESPACE = uuid.UUID("6a1f77c4-5b0d-4c52-9d11-7761b0a10000")
MEMORY_MIB = 448

PASSTHROUGH = "<cpu mode='host-passthrough'/>"
NAMED = "<cpu mode='custom' match='exact'><model>kvm64</model></cpu>"


@dataclass(frozen=True)
class Guest:
    """A libvirt domain of the lab, its address, and the facts expected inside it."""

    name: str
    number: int
    cpu: str
    giving: frozenset[str]
    """The CPU vendors on which the definition gives the guest the flag, with nested on."""
    started_with: str | None = None
    """The definition it is started with, if `cpu` is only defined afterwards."""
    withheld_by: str | None = None
    """The cause code, from docs/controls.md, of a definition that does not give the flag."""
    has_agent: bool = False
    """Whether it runs a guest agent."""

    @property
    def address(self) -> str:
        """The guest's address on the host's network."""
        return f"192.168.77.{self.number}"

    def expects_flag(self, suite: Suite, *, nested: bool) -> bool:
        """Whether the running guest has the flag; with nested off no definition gives it."""
        return nested and self.started_with is None and self.definition_gives_flag(suite)

    def broken_link(self, suite: Suite, *, nested: bool) -> tuple[str | None, str | None]:
        """The first broken link of the guest's chain and the cause, while it runs."""
        if not nested:
            return "l0-nested", "nested-off"
        if not self.definition_gives_flag(suite):
            return "domain-definition", self.withheld_by
        if self.started_with is not None:
            return "domain-running", "power-cycle-pending"
        return None, None

    def definition_gives_flag(self, suite: Suite) -> bool:
        """Whether the persistent definition gives the flag at the next start, with nested on."""
        return suite.vendor in self.giving

    def starting_xml(self, suite: Suite) -> str:
        """The definition that the guest is started with."""
        return self._domain(suite, self.cpu if self.started_with is None else self.started_with)

    def xml(self, suite: Suite) -> str:
        """The persistent definition."""
        return self._domain(suite, self.cpu)

    def _domain(self, suite: Suite, cpu: str) -> str:
        # Looking for more buses than ACPI names takes a quarter of the kernel's boot: each look leaves the guest.
        command = (
            "root=/dev/vda console=ttyS0 net.ifnames=0 mitigations=off cryptomgr.notests quiet panic=-1 pci=lastbus=0 "
            f"init=/sbin/lab-init lab.name={self.name} lab.address={self.address}"
        )
        return DOMAIN.format(
            name=escape(self.name),
            uuid=uuid.uuid5(NAMESPACE, self.name),
            memory=MEMORY_MIB,
            command=escape(command),
            cpu=cpu.format(flag=suite.flag),
            number=self.number,
            agent=AGENT if self.has_agent else "",
        )


DOMAIN = """<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/boot/lab-vmlinuz</kernel>
    <initrd>/boot/lab-initrd</initrd>
    <cmdline>{command}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  {cpu}
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='/var/lib/libvirt/images/{name}.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:77:00:{number:02x}'/>
      <source network='lab'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'><source path='/var/log/libvirt/qemu/{name}.console'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {agent}
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""

AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

HOST_MODEL = "<cpu mode='host-model'/>"
HOST_MODEL_REQUIRE = "<cpu mode='host-model'><feature policy='require' name='{flag}'/></cpu>"
FLAG_DISABLED = "<cpu mode='host-passthrough'><feature policy='disable' name='{flag}'/></cpu>"

NOWHERE: frozenset[str] = frozenset()
ON_INTEL = frozenset({"intel"})
EVERYWHERE = frozenset({"amd", "intel"})

GUESTS = (
    Guest("passthrough", 11, PASSTHROUGH, EVERYWHERE, has_agent=True),
    Guest("host-model", 12, HOST_MODEL, ON_INTEL, withheld_by="host-model-drops-svm"),
    Guest("changed", 13, PASSTHROUGH, EVERYWHERE, started_with=NAMED),
    Guest("host-model-require", 14, HOST_MODEL_REQUIRE, EVERYWHERE),
    Guest("named-model", 15, NAMED, NOWHERE, withheld_by="named-model-lacks-flag"),
    Guest("flag-disabled", 16, FLAG_DISABLED, NOWHERE, withheld_by="feature-disabled"),
    Guest("no-cpu", 17, "", NOWHERE, withheld_by="named-model-lacks-flag"),
    Guest("shut-off", 18, PASSTHROUGH, EVERYWHERE),
)


def named(name: str) -> Guest:
    """Return the guest with that name."""
    return {guest.name: guest for guest in GUESTS}[name]
