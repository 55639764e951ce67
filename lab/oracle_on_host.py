"""Runs on the emulated host: what its libvirt and its QEMU make of CPU definitions. JSON on stdin, JSON on stdout."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

QEMU = "qemu-system-x86_64"
CPU = "/machine/unattached/device[0]"


class Refused(Exception):
    """QEMU did not accept a command."""


class Monitor:
    """A QEMU that starts no CPU, and its monitor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Greet the monitor of a process that has just been started."""
        self._process = process
        self._read()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return what a command answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise Refused(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise Refused(self._process.stderr.read().strip())
        return json.loads(line)


@contextmanager
def qemu(arguments: list[str]) -> Iterator[Monitor]:
    """Start a QEMU under KVM that runs nothing."""
    command = [QEMU, "-S", "-display", "none", "-nodefaults", "-no-user-config", "-m", "16", "-qmp", "stdio"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command + arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Monitor(process)
        finally:
            process.kill()


def names() -> dict[str, Any]:
    """The models that libvirt and QEMU know here."""
    with qemu(["-machine", "q35,accel=kvm"]) as monitor:
        models = monitor.ask("query-cpu-definitions")
    return {"libvirt": connection().getCPUModelNames("x86_64"), "qemu": sorted(model["name"] for model in models)}


def connection() -> Any:
    """A connection to this host's libvirt."""
    import libvirt  # noqa: PLC0415  # only on the emulated host

    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt.open("qemu:///system")


def translated(definitions: list[str]) -> list[dict[str, str]]:
    """The `-cpu` that libvirt makes of each domain, or its error."""
    import libvirt  # noqa: PLC0415  # only on the emulated host

    libvirtd, answers = connection(), []
    for xml in definitions:
        try:
            words = shlex.split(libvirtd.domainXMLToNative("qemu-argv", xml))
        except libvirt.libvirtError as error:
            answers.append({"error": str(error)})
        else:
            answers.append({"cpu": words[words.index("-cpu") + 1] if "-cpu" in words else ""})
    return answers


def expanded(flag: str, cpus: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether a guest with each model would get a flag here, by machine type."""
    answers: list[dict[str, Any]] = [{} for _ in cpus]
    for machine in sorted({cpu["machine"] for cpu in cpus}):
        with qemu(["-machine", f"{machine},accel=kvm"]) as monitor:
            for answer, cpu in zip(answers, cpus, strict=True):
                if cpu["machine"] == machine:
                    answer.update(_expansion(monitor, flag, {"name": cpu["model"], "props": cpu["properties"]}))
    return answers


def _expansion(monitor: Monitor, flag: str, model: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = monitor.ask("query-cpu-model-expansion", type="full", model=model)
    except Refused as error:
        return {"error": str(error)}
    return {"flag": answer["model"]["props"][flag]}


def started(flag: str, commands: list[list[str]]) -> list[dict[str, Any]]:
    """Whether the CPU of a QEMU with each command line has a flag."""
    return [_started(flag, arguments) for arguments in commands]


def _started(flag: str, arguments: list[str]) -> dict[str, Any]:
    try:
        with qemu(["-accel", "kvm", *arguments]) as monitor:
            return {"flag": monitor.ask("qom-get", path=CPU, property=flag)}
    except Refused as error:
        return {"error": str(error)}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    questions: dict[str, Callable[..., Any]] = {
        "names": names,
        "translated": translated,
        "expanded": expanded,
        "started": started,
    }
    json.dump(questions[request["question"]](*request["arguments"]), sys.stdout)
