r"""A `virt-install` command line in a text file, such as a script or a runbook.

Sample::

    virt-install --name=ci-1 --memory=4096 \
      --cpu=host-model,require=svm --import

Sources: virt-install(1) and virtinst's cli.py: `+flag` is force, `-flag` disable; without --cpu it takes
host-passthrough since virt-manager 4, before that host-model, and without --virt-type KVM where there is one. What the
shell fills in (`$`, backquotes) is not known.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
from nested_kvm.facts.definition.candidate_domain import candidate_domain, cpu_by_libvirt, shown
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.text import printable

_PROGRAM: Final = re.compile(r"(?:\S*/)?virt-install")
_FOUND: Final = re.compile(r"^[^#\n]*\bvirt-install\b", re.MULTILINE)
_END: Final = frozenset({";", "&&", "||", "|", "&", ")", ";;"})
_POLICIES: Final = {
    "force": "force",
    "require": "require",
    "optional": "optional",
    "disable": "disable",
    "forbid": "forbid",
}
_MODES: Final = {"host-passthrough", "host-model", "maximum"}
_BY_VERSION: Final = frozenset(
    {"host", "host-copy", "host-model-only", "hv-default", "clear", "default", "none", "maximum"}
)
"""Words for a model which versions of virt-install translate differently: 4.1 takes `maximum` for a model's name."""
_HARMLESS: Final = re.compile(
    r"(match|vendor|cache|numa|topology|cell|maxphysaddr|migratable|secure|vcpu|clearxml|fallback)\b.*"
)
_PASSED_ON: Final = re.compile(r"(match|vendor|migratable|clearxml|fallback)\b")
"""Words of --cpu that libvirt gets, and that do not decide the flag of a copy of the host's CPU."""
_HARMLESS_XML: Final = re.compile(
    r"(xpath\d*\.\w+=)?\./(title|description|metadata|devices|memory|currentMemory|memoryBacking|vcpu|clock|on_\w+|pm)"
    r"([/@\[=,].*)?"
)
"""XPaths of --xml that lead to nothing which decides the CPU."""
_OF_BOOT: Final = re.compile(r"(domain_type|os_type|arch|machine)=|[$`]")
"""Words of --boot that decide what runs the guest over other options, or that the shell fills in."""
_PAST_CPU: Final = ("--xml", "--qemu-commandline")
_TAKES: Final = frozenset(
    {
        "--name",
        "-n",
        "--cpu",
        "--virt-type",
        "--arch",
        "--machine",
        "--xml",
        "--qemu-commandline",
        "--connect",
        "--boot",
    }
)
_SECURITY: Final = frozenset({"--launchsecurity", "--launchSecurity", "--launch-security"})
_WHOLE: Final = frozenset({"--mac"})
"""Other options: one that decides begins with the same letters."""
_OTHER_KINDS: Final = {"--container": "lxc", "--paravirt": "xen", "-p": "xen"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command line: its words after the program, and the line where it begins."""

    words: tuple[str, ...]
    line: int


def names_virt_install(text: str) -> bool:
    """Whether a line of the text runs virt-install."""
    return _FOUND.search(text) is not None


def virt_install_domains(text: str) -> Iterator[Domain]:
    """The guests that the command lines of a text define.

    Raises:
        NotObserved: a command line cannot be read as a shell would.
    """
    for number, command in enumerate(_commands(text), 1):
        yield _domain(command, number)


def _commands(text: str) -> Iterator[Command]:
    lines = text.replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        first, joined = index, lines[index]
        while joined.endswith("\\") and index + 1 < len(lines):
            index += 1
            joined = f"{joined[:-1]} {lines[index]}"
        index += 1
        if "virt-install" in joined and not joined.lstrip().startswith("#"):
            yield from _of_line(joined, first + 1)


def _of_line(joined: str, line: int) -> Iterator[Command]:
    lexer = shlex.shlex(joined, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(takewhile(lambda word: not word.startswith("#"), lexer))
    except ValueError as error:
        raise NotObserved(f"line {line}: {error}") from None
    while words:
        end = next((at for at, word in enumerate(words) if word in _END), len(words))
        statement, words = words[:end], words[end + 1 :]
        start = next((at for at, word in enumerate(statement) if _PROGRAM.fullmatch(word)), None)
        # Whatever runs it, as `if`, ssh or xargs: a mention of the program alone has no options.
        if start is not None and any(word.startswith(("-", "$", "`")) for word in statement[start + 1 :]):
            yield Command(tuple(statement[start + 1 :]), line)


def _domain(command: Command, number: int) -> Domain:
    given, open_words = _options(command.words)
    name = (given.get("--name") or given.get("-n") or [f"virt-install-{number}"])[-1]
    other = next((kind for option, kind in _OTHER_KINDS.items() if option in given), "kvm")
    kind = (given.get("--virt-type") or [other])[-1]
    definition = _cpu(given, kind)
    undecided = _why_undecided(given, open_words)
    return candidate_domain(
        Form.VIRT_INSTALL,
        name,
        definition if undecided is None else replace(definition, undecided=undecided),
        f":{command.line}",
        kind=kind,
        architecture=_last(given, "--arch"),
        machine=_last(given, "--machine"),
        inexact=_why_inexact(given, definition),
    )


def _last(given: Mapping[str, list[str]], option: str) -> str | None:
    values = given.get(option)
    return values[-1] if values else None


def _options(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of each option, and the words that the shell expands to options."""
    found: dict[str, list[str]] = {}
    expanded = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith(("$", "`")):
            expanded.append(word)
        if not word.startswith("-"):
            continue
        option, equals, value = word.partition("=")
        takes = option in _TAKES or option in _SECURITY
        if not equals and takes and left:
            value = left.pop(0)
        found.setdefault(option, []).append(value)
    return found, expanded


def _cpu(given: Mapping[str, list[str]], kind: str) -> CpuDefinition:
    values = given.get("--cpu", [])
    machine = _last(given, "--machine")
    encryption = next((_type_of(given[option][-1]) for option in _SECURITY if option in given), None)
    if not values:
        found = cpu_by_libvirt("host-model", (), kind=kind, machine=machine, encryption=encryption)
        return replace(found, unknown_mode="without --cpu the version of virt-install decides", written="no --cpu")
    written = shown(f"--cpu {values[-1]}")
    model, features, check, strange = _parsed(values[-1])
    words = (word.partition("=") for word in values[-1].split(","))
    match = {key: setting for key, _, setting in words}.get("match")
    found = cpu_by_libvirt(model, features, kind=kind, machine=machine, encryption=encryption, check=check, match=match)
    found = replace(found, written=written)
    if model in _BY_VERSION and "mode=maximum" not in values[-1].split(","):
        return replace(found, undecided=f"what --cpu {model} means depends on the version of virt-install")
    if not model:
        return replace(found, unknown_mode="without a model in --cpu the version of virt-install decides")
    return found if strange is None else replace(found, undecided=f"--cpu {printable(strange, 40)} is not known here")


def _parsed(value: str) -> tuple[str | None, list[tuple[str, str]], str | None, str | None]:
    """The model or mode, the features with their policies, the check, and a word that is not known."""
    model = mode = check = strange = None
    features = []
    for number, word in enumerate(value.split(",")):
        key, equals, setting = word.partition("=")
        if word.startswith(("+", "-")):
            features.append((word[1:], "force" if word[0] == "+" else "disable"))
        elif equals and key in _POLICIES:
            features.append((setting, key))
        elif (number == 0 and not equals) or key == "model":
            model = setting if equals else key
        elif key == "mode" and setting in _MODES:
            mode = setting
        elif key == "check":
            check = setting
        elif word not in {"", "mode=custom"} and _HARMLESS.fullmatch(word) is None:
            strange = word
    if model and (mode is not None or (model in _MODES and "mode=custom" in value.split(","))):
        return model, features, check, f"{model} beside a mode"
    return mode or model, features, check, strange


def _type_of(value: str) -> str:
    words = [word.removeprefix("type=") for word in value.split(",") if word.startswith("type=")]
    return words[0] if words else value.split(",", maxsplit=1)[0] or "of no known type"


def _why_undecided(given: Mapping[str, list[str]], expanded: Sequence[str]) -> str | None:
    if expanded:
        return f"the shell fills in {printable(expanded[0], 40)}, which may be an option"
    for option in ("--cpu", "--virt-type", "--machine", "--arch", "--name", "-n"):
        if any("$" in value or "`" in value for value in given.get(option, [])):
            return f"the shell fills in a part of {option}"
    uri = (given.get("--connect") or ["qemu"])[-1]
    if not uri.startswith("qemu"):
        return f"--connect names another driver: {printable(uri, 40)}"
    if len(given.get("--cpu", [])) > 1:
        return "--cpu is given twice"
    short = next((option for option in given if _may_stand_for_another(option)), None)
    if short is not None:
        return f"{printable(short, 40)} may be short for an option that decides the CPU"
    return _why_past_options(given)


def _may_stand_for_another(option: str) -> bool:
    """Whether virt-install may complete the option, as argparse does with one that it does not know."""
    deciding = (*_TAKES, *_SECURITY, *_OTHER_KINDS)
    is_cut = any(each != option and each.startswith(option) for each in deciding)
    return option.startswith("--") and option not in _WHOLE and is_cut and option not in deciding


def _why_past_options(given: Mapping[str, list[str]]) -> str | None:
    by_boot = next((word for word in _words_of_boot(given) if _OF_BOOT.match(word)), None)
    if by_boot is not None:
        return f"--boot {printable(by_boot, 40)} is not read here"
    for option in _PAST_CPU:
        if any(_may_change_cpu(option, value) for value in given.get(option, [])):
            return f"{option} may change the CPU"
    return None


def _words_of_boot(given: Mapping[str, list[str]]) -> list[str]:
    return [word for value in given.get("--boot", []) for word in value.split(",")]


def _why_inexact(given: Mapping[str, list[str]], cpu: CpuDefinition) -> str | None:
    if cpu.mode == "custom":
        return "virt-install adds features to a named model by what the host has"
    if any(word.startswith("emulator=") for word in _words_of_boot(given)):
        return "its --boot names an emulator, which is not sent"
    words = given.get("--cpu", [""])[-1].split(",")
    other = next((word for word in words if _PASSED_ON.match(word)), None)
    return None if other is None else f"its --cpu {printable(other, 40)} is not read here"


def _may_change_cpu(option: str, value: str) -> bool:
    if "$" in value or "`" in value:
        return True
    if option == "--qemu-commandline":
        words = shlex.split(value.removeprefix("args="), comments=False) if value.count('"') % 2 == 0 else ["-other"]
        return bool(list(deciding_arguments(words)))
    is_elsewhere = _HARMLESS_XML.fullmatch(value) and not re.search(r"cpu|type|commandline|\.\.|\*|::", value)
    return option == "--xml" and not is_elsewhere
