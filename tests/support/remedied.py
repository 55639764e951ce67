"""A recorded machine after its remedies: the commands that are understood are applied to its recorded files.

A remedy is a list of shell lines. Those that write or change a file, reload the module, or have udev handle /dev/kvm
are applied in their order; comments, and commands that only show something or speak of domains, change nothing here.
kmod then answers by its own algorithm over the changed files.
"""

import inspect
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nested_kvm.controls.applicability import check_applies
from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.device_rule import device_rule_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.verdict import Finding, Verdict
from nested_kvm.plugin.fixtures import FACTS
from nested_kvm.remediation import remediation
from tests.support.bundles import bundle_of
from tests.support.evaluation import controls, fleet_of

Files = dict[str, Reading]

_WRITE = re.compile(r"printf '(?P<text>.*)' > (?P<path>/\S+)")
_SED = re.compile(r"sed -i\.bak (?P<rest>.+)")
_COPY = re.compile(r"sed (?P<script>'[^']*') (?P<path>/\S+) > (?P<to>/etc/modprobe\.d/\S+)")
_RELOAD = re.compile(r"modprobe -r (\w+) && modprobe \1\Z")


def remedies_of(name: str, readings: Mapping[str, Mapping[str, Reading]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the control and the commands of each finding of a scenario's host."""
    yield from remedies_in(fleet_of(name, readings), name)


def remedies_in(fleet: Fleet, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the control and the commands of each finding of that host itself."""
    for control, function in controls().items():
        for subject in fleet.subjects(control.level):
            if subject.machine.target.name == name and subject.domain is None:
                finding = finding_of(fleet, control, function, subject)
                if finding is not None:
                    yield control.id, remediation(subject.settled, finding)


def finding_of(_fleet: Fleet, control: object, function: object, subject: Subject) -> Finding | None:
    try:
        check_applies(control, subject)  # type: ignore[arg-type]
        facts = {each: FACTS[each](subject.settled) for each in inspect.signature(function).parameters}  # type: ignore[arg-type]
        function(**facts)  # type: ignore[operator]
    except Finding as finding:
        return finding
    except (Verdict, Exception):  # noqa: BLE001 - no finding, so no remedy
        return None
    return None


def applied(readings: Mapping[str, Reading], commands: list[str]) -> Files:
    """The readings of the machine after these commands."""
    after = dict(readings)
    for command in commands:
        line = command.partition("  # ")[0].strip()
        write, copy, sed, reload = (each.match(line) for each in (_WRITE, _COPY, _SED, _RELOAD))
        if line.startswith("#"):
            continue
        if write and "/modprobe.d/" in write["path"]:
            after = _written(after, write["path"], write["text"].replace("\\n", "\n"))
        elif write and "/udev/" in write["path"]:
            after = _with_rule(after, write["path"], write["text"].replace("\\n", ""))
        elif copy:
            changed = _sed(after, f"{copy['script']} {copy['path']}")
            after = _written(after, copy["to"], changed[copy["path"]].text)
        elif sed:
            after = _sed(after, sed["rest"])
        elif reload:
            after = _reloaded(after, reload[1])
        elif line.startswith("udevadm control"):
            after = _triggered(after)
        after = answered(after)
    return after


def _written(files: Files, path: str, text: str) -> Files:
    directory, _, name = path.rpartition("/")
    listing = files.get(directory)
    names = sorted({*(listing.text.split("\n") if listing and listing.text else []), name})
    return {
        **files,
        directory: Reading(directory, Status.OK, "\n".join(names)),
        path: Reading(path, Status.OK, text),
    }


def _sed(files: Files, rest: str) -> Files:
    """Run the real sed on a copy of the file that the command names last."""
    path = rest.rsplit(" ", 1)[-1].strip("'\"")
    if path not in files:
        return files
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "file"
        copy.write_text(files[path].text)
        command = f"sed -i.bak {rest[: rest.rindex(' ')]} {copy}"
        subprocess.run(["/bin/sh", "-c", command], check=True)
        return {**files, path: replace(files[path], text=copy.read_text())}


def _machine(files: Files) -> Machine:
    bundle = bundle_of()
    return Machine(replace(bundle, readings=files))


def answered(files: Files) -> Files:
    """kmod's answer over the changed files: each inserted module with its options."""
    machine = _machine(files)
    source = sources.show_depends(machine.kvm_module_name)
    answer = files.get(source)
    if answer is None or not answer.is_ok or "insmod " not in answer.text:
        return files
    configuration = machine._modprobe_configuration
    lines = []
    for line in answer.text.splitlines():
        words = line.split()
        if words[:1] == ["insmod"]:
            module = words[1].rpartition("/")[2].partition(".")[0].replace("-", "_")
            line = f"insmod {words[1]} {configuration.options_for(module).text} "  # noqa: PLW2901
        lines.append(line)
    return {**files, source: replace(answer, text="\n".join(lines))}


def _reloaded(files: Files, module: str) -> Files:
    files = answered(files)
    load = _machine(files).next_load
    directory, parameters = f"/sys/module/{module}", f"/sys/module/{module}/parameters"
    if load.fails:
        gone = {key: value for key, value in files.items() if not key.startswith(directory)}
        names = [name for name in files["/sys/module"].text.split() if name != module]
        listing = replace(files["/sys/module"], text="\n".join(names))
        return {**gone, "/sys/module": listing, "/dev/kvm": Reading("/dev/kvm", Status.ABSENT)}
    answer = files[sources.show_depends(module)].text.splitlines()[-1].split()[2:]
    given = dict(word.partition("=")[::2] for word in answer if "=" in word)
    if load.nested is not None:
        given["nested"] = str(int(load.nested))
    lines = []
    for line in files[parameters].text.splitlines():
        name, _, value = line.partition("=")
        new = given.get(name, "1" if name == "nested" and load.default else value)
        boolean = {"1": "Y", "0": "N"}.get(new, new) if value in {"Y", "N"} else new
        lines.append(f"{name}={boolean}")
    return {**files, parameters: replace(files[parameters], text="\n".join(lines))}


def _with_rule(files: Files, path: str, rule: str) -> Files:
    known = files.get(sources.UDEV_RULES)
    lines = [line for line in (known.text.split("\n") if known else []) if not line.startswith(f"{path}:")]
    text = "\n".join([*lines, f"{path}:{rule}"])
    return {**files, sources.UDEV_RULES: Reading(sources.UDEV_RULES, Status.OK, text)}


def _triggered(files: Files) -> Files:
    """Let udev handle the device: it gets the mode of the rules."""
    rule = device_rule_of(replace(bundle_of(), readings=files))
    device = files.get("/dev/kvm")
    if rule.mode is None or device is None or not device.is_ok:
        return files
    return {**files, "/dev/kvm": replace(device, text=f"c{rule.mode}{device.text[10:]}")}
