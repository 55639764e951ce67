"""What a host's own libvirt and QEMU make of CPU definitions, asked with `--active`: no guest is started for it.

libvirt translates a domain's persistent XML to QEMU's arguments (`virsh domxml-to-native`), and a QEMU under KVM that
runs no CPU expands the model to what a guest with it would get on this host (QMP's `query-cpu-model-expansion`). Of
both only what decides the CPU is kept.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final, Self

FLAGS: Final = ("svm", "vmx")
UNANSWERED: Final = "--active"
"""The source of the evidence that a host gave no answer about a candidate, although it was to be asked."""
_ENVIRONMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]{1,100}", re.ASCII)
_UNREAD: Final = frozenset({"-global", "-readconfig", "-set"})
"""Options that may change the CPU beside `-cpu`, and that no expansion knows."""
_ON: Final = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}


def translated(uuid: str) -> str:
    """Return the source of a domain's translation."""
    return f"virsh domxml-to-native {uuid}"


def expanded(uuid: str) -> str:
    """Return the source of a domain's expansion."""
    return f"query-cpu-model-expansion {uuid}"


def script() -> str:
    """Return the script that asks; its header documents its arguments."""
    return files(__name__).joinpath("ask.sh").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Translation:
    """The CPU that libvirt asks QEMU for."""

    emulator: str
    """The path of QEMU."""
    machine: str
    """The machine type, whose age decides a model's defaults."""
    cpu: str
    """The value of `-cpu`; empty where there is none, and QEMU's default counts."""

    @property
    def text(self) -> str:
        """The words that count, as they stand on the command line."""
        cpu = f" -cpu {shlex.quote(self.cpu)}" if self.cpu else ""
        return f"{self.emulator} -machine {self.machine} -accel kvm{cpu}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `domxml-to-native` printed; None: it is not a QEMU under KVM whose CPU `-cpu` alone decides.

        Sample::

            LC_ALL=C /usr/bin/qemu-system-x86_64 -machine pc-q35-7.2,usb=off -accel kvm -cpu EPYC,svm=on
        """
        try:
            words = shlex.split(text.replace("\\\n", " "))
        except ValueError:
            return None
        words = words[next((at for at, word in enumerate(words) if not _ENVIRONMENT.match(word)), len(words)) :]
        if not words or not words[0].startswith("/") or _UNREAD & set(words):
            return None
        machines, accelerators, cpus = (_values(words, option) for option in ("-machine", "-accel", "-cpu"))
        machine, *settings = machines[0].split(",") if len(machines) == 1 else ("",)
        accelerator = {each.split(",")[0] for each in accelerators} or {
            each.removeprefix("accel=") for each in settings if each.startswith("accel=")
        }
        if accelerator != {"kvm"} or not _WORD.fullmatch(machine) or len(cpus) > 1:
            return None
        return cls(words[0], machine, cpus[0] if cpus else "")

    def command(self, uuid: str) -> str:
        """Return the monitor's command that expands the CPU."""
        name, *properties = self.cpu.split(",") if self.cpu else ("qemu64",)
        model = {"name": name, "props": dict(_property(each) for each in properties)}
        arguments = {"type": "full", "model": model}
        return json.dumps({"execute": "query-cpu-model-expansion", "id": uuid, "arguments": arguments})


def _values(words: list[str], option: str) -> list[str]:
    return [value for word, value in pairwise(words) if word == option]


def _property(word: str) -> tuple[str, bool | int | str]:
    if word.startswith(("+", "-")):
        return word[1:], word.startswith("+")
    name, _, value = word.partition("=")
    if value in _ON:
        return name, _ON[value]
    try:
        return name, int(value, 0)
    except ValueError:
        return name, value


def monitor_commands(asked: Mapping[str, Translation]) -> str:
    """Return what is written to the monitor of one QEMU, for domains of one emulator and machine type."""
    commands = [translation.command(uuid) for uuid, translation in asked.items()]
    return "\n".join(['{"execute": "qmp_capabilities"}', *commands, '{"execute": "quit"}'])


def answers_of_monitor(text: str) -> Iterator[tuple[str, str]]:
    """Yield each domain's UUID and the answer about it, reduced to the flags, as JSON.

    An expansion holds some 500 properties; an error is kept as it is.
    """
    for line in text.splitlines():
        match _object(line):
            case {"id": str(uuid), "return": {"model": {"props": dict(properties)}}}:
                yield uuid, json.dumps({flag: properties.get(flag) for flag in FLAGS})
            case {"id": str(uuid), "error": {"desc": str(reason)}}:
                yield uuid, json.dumps({"error": reason[:400]})


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
