"""A private libvirt: the file that libvirt's test driver reads, which needs no daemon and no privileges."""

from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

_TEST = "http://libvirt.org/schemas/domain/test/1.0"
_SHUT_OFF = 5


@dataclass(frozen=True)
class Definition:
    """One domain: its name, its `<cpu>`, its type, and whether it runs."""

    name: str
    cpu: str = "<cpu mode='host-passthrough'/>"
    type: str = "kvm"
    runs: bool = True

    @property
    def xml(self) -> str:
        state = "" if self.runs else f"<test:runstate>{_SHUT_OFF}</test:runstate>"
        name = escape(self.name, {letter: f"&#{ord(letter)};" for letter in "\n\t\r"})
        uuid = uuid5(NAMESPACE_URL, self.name)  # else each process that opens the file gives it another
        return (
            f"<domain type='{self.type}' xmlns:test='{_TEST}'><name>{name}</name><uuid>{uuid}</uuid>"
            f"<memory>1024</memory>"
            f"<os><type arch='x86_64'>hvm</type></os>{self.cpu}{state}</domain>"
        )


NAMED_MODEL = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"


def write_node(path: Path, *domains: Definition) -> str:
    """Write the file, and return the URI of the libvirt that has those domains."""
    path.write_text(f"<node>{''.join(domain.xml for domain in domains)}</node>", encoding="utf-8")
    return f"test://{path}"
