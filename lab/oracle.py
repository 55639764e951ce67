"""The emulated host's libvirt and QEMU, asked what CPU definitions give: thousands, and no guest is started.

libvirt translates a domain's XML to QEMU's arguments, and a QEMU under KVM that runs no CPU expands a model to what a
guest with it would get on this host.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.shell import Shell

PROGRAM: Final = (Path(__file__).resolve().parent / "oracle_on_host.py").read_text()
LIMIT: Final = 900
"""Seconds for one question about a few hundred definitions."""
ON: Final = {"on": True, "off": False}


@dataclass(frozen=True)
class Given:
    """What a definition gives on this host."""

    flag: bool | None
    """Whether the guest gets the flag; None: it does not start."""
    cpu: str = ""
    """QEMU's `-cpu`."""
    refusal: str = ""
    """Why it does not start, in libvirt's or QEMU's words."""


@dataclass(frozen=True)
class Oracle:
    """The host's own programs; each definition is asked once."""

    shell: Shell
    flag: str
    by_xml: dict[tuple[str, str], Given] = field(default_factory=dict)
    by_arguments: dict[tuple[str, ...], Given] = field(default_factory=dict)

    def names(self) -> dict[str, list[str]]:
        """The models that `libvirt` and `qemu` know."""
        return dict(self._ask("names"))

    def of_domains(self, domains: Sequence[tuple[str, str]]) -> list[Given]:
        """What libvirt and QEMU together make of domains, each given by its machine type and its XML."""
        fresh = list(dict.fromkeys(domain for domain in domains if domain not in self.by_xml))
        translations = self._ask("translated", [xml for _, xml in fresh]) if fresh else []
        cpus = {
            domain: answer["cpu"] for domain, answer in zip(fresh, translations, strict=True) if "error" not in answer
        }
        asked = [_model(machine, cpu) for (machine, _), cpu in cpus.items()]
        answers = self._ask("expanded", self.flag, asked) if asked else []
        for (domain, cpu), answer in zip(cpus.items(), answers, strict=True):
            self.by_xml[domain] = Given(answer.get("flag"), cpu, answer.get("error", ""))
        for domain, answer in zip(fresh, translations, strict=True):
            if "error" in answer:
                self.by_xml[domain] = Given(None, refusal=answer["error"])
        return [self.by_xml[domain] for domain in domains]

    def of_arguments(self, commands: Sequence[tuple[str, ...]]) -> list[Given]:
        """What QEMU makes of command lines; each is a QEMU that is started, and takes seconds."""
        fresh = list(dict.fromkeys(command for command in commands if command not in self.by_arguments))
        for command, answer in zip(fresh, self._ask("started", self.flag, fresh) if fresh else [], strict=True):
            self.by_arguments[command] = Given(answer.get("flag"), " ".join(command), answer.get("error", ""))
        return [self.by_arguments[command] for command in commands]

    def _ask(self, question: str, *arguments: Any) -> Any:
        request = json.dumps({"question": question, "arguments": arguments}).encode()
        return json.loads(self.shell.run(f"python3 -c {shlex.quote(PROGRAM)}", limit=LIMIT, stdin=request))


def _model(machine: str, cpu: str) -> dict[str, Any]:
    """A `-cpu` that libvirt wrote, as the arguments of an expansion: libvirt uses `name=value` alone."""
    model, *words = cpu.split(",")
    return {"machine": machine, "model": model or "qemu64", "properties": dict(_properties(words))}


def _properties(words: Sequence[str]) -> Iterator[tuple[str, bool | int | str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, ON.get(value, int(value) if value.isdecimal() else value)
