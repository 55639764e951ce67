"""The reference pages that are made from the code: `python tools/reference.py docs` writes them below that folder."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nested_kvm.command.explain import PublishedFailure, published_failures
from nested_kvm.command.parser import build_parser
from nested_kvm.command.schema import schema
from nested_kvm.command.symptoms import SYMPTOMS, Symptom
from nested_kvm.controls.catalogue import catalogue
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Control

ROOT = Path(__file__).parents[1]
_MADE = "<!-- Made by `python tools/reference.py docs`; change what it is made from instead. -->"
_AUDITS = ("gate", "maintenance")
"""Commands with the options of `audit`, which are listed once."""


def pages() -> dict[str, str]:
    """Return every page, by its path below `docs/`."""
    controls = catalogue(ROOT)
    made = {
        "reference/command.md": _command(),
        "reference/inventory-keys.md": _inventory(),
        "reference/waiver-keys.md": _waivers(),
        "reference/results-json.md": _results(),
        "reference/causes.md": _causes(controls),
        "symptoms.md": _symptoms(controls),
    }
    return {path: "\n".join(lines) + "\n" for path, lines in made.items()}


def _command() -> Iterator[str]:
    parser = build_parser()
    yield from ("# The command line", "", _MADE, "")
    yield from ("`nested-kvm COMMAND --help` shows the same in a terminal, and `man nested-kvm` all of it.", "")
    commands = _commands(parser)
    yield from _table(("command", ""), [(f"[`{name}`](#{name})", each.description) for name, each in commands.items()])
    for name, command in commands.items():
        yield from ("", f"## {name}", "", f"{_sentence(command.description)}", "")
        yield from ("```text", f"nested-kvm {name} {_usage(name, command)}".rstrip(), "```", "")
        if name in _AUDITS:
            yield "It takes the options of [audit](#audit)."
        elif name == "import-answers":
            yield "`nested-kvm import-answers --help` lists its options; [engines](../engines.md) shows their use."
        else:
            rows = [row for action in command._actions for row in _option(action)]  # noqa: SLF001 - no other way to list
            yield from _table(("argument", ""), rows) if rows else ("It takes no argument.",)
        if command.epilog and name not in _AUDITS:
            yield from ("", "```text", *command.epilog.splitlines(), "```")


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))  # noqa: SLF001
    return {str(name): command for name, command in found.items()}


def _usage(name: str, command: argparse.ArgumentParser) -> str:
    if name in ("audit", *_AUDITS):
        return "[OPTIONS] [CHECKS]"
    words = []
    for action in command._actions:  # noqa: SLF001 - as above
        if action.dest == "help":
            continue
        shown = action.option_strings[0] if action.option_strings else _value(action)
        if action.option_strings and action.required:
            shown += f"={_value(action)}"
        may_be_left_out = not action.required if action.option_strings else action.nargs in ("?", "*")
        words.append(f"[{shown}]" if may_be_left_out else shown)
        words[-1] += " …" if action.nargs in ("+", "*") else ""
    return " ".join(words)


def _option(action: argparse.Action) -> Iterator[tuple[str, str | None]]:
    if action.dest == "help":
        return
    value = "" if action.nargs == 0 else _value(action)
    names = [f"`{name}={value}`" if value else f"`{name}`" for name in action.option_strings]
    yield ", ".join(names) or f"`{value}`", action.help


def _value(action: argparse.Action) -> str:
    return str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())


def _inventory() -> Iterator[str]:
    yield from ("# The keys of an inventory", "", _MADE, "")
    yield from (
        "`nested-kvm schema inventory` prints the schema that this page is made from, for an editor;",
        "`nested-kvm validate inventory FILE` names each error with file, line and key.",
        "[The inventory](../inventory.md) explains the keys.",
    )
    yield from _objects(json.loads(schema("inventory")), "The file")
    example = (ROOT / "inventories" / "example.yaml").read_text(encoding="utf-8")
    yield from ("", "## An example with every key", "", "```yaml", *example.splitlines(), "```")


def _waivers() -> Iterator[str]:
    yield from ("# The keys of a waiver file", "", _MADE, "")
    yield "`nested-kvm schema waivers` prints the schema. [Waivers](../waivers.md) explains the keys."
    yield from _objects(json.loads(schema("waivers")), "The file")


def _results() -> Iterator[str]:
    yield from ("# results.json", "", _MADE, "")
    yield from (
        "`nested-kvm schema results` prints the schema. Fields are added, and never change their meaning while the",
        "schema's number stays. [Results](../reports.md) explains the outcomes.",
    )
    yield from _objects(json.loads(schema("results")), "The document")


def _objects(document: Mapping[str, Any], title: str) -> Iterator[str]:
    """A chapter for the document and one for each of its parts: a table of keys, or the allowed words."""
    for name, part in {title: document, **document.get("$defs", {})}.items():
        yield from ("", f"## {name}", "")
        if part.get("description"):
            yield from (part["description"], "")
        if "enum" in part:
            yield ", ".join(f"`{word}`" for word in part["enum"])
            continue
        required = set(part.get("required", ()))
        rows = [
            (f"`{key}`", f"{_type(value)}{'' if key in required else _default(value)}", value.get("description"))
            for key, value in part.get("properties", {}).items()
        ]
        yield from _table(("key", "value", ""), rows)


def _type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(each) for each in value["anyOf"])
    if "const" in value or "enum" in value:
        return ", ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    of = value.get("additionalProperties")
    kind = value.get("format") or value.get("type", "anything")
    return f"mapping of names to {_type(of)}" if isinstance(of, Mapping) else str(kind)


def _default(value: Mapping[str, Any]) -> str:
    return f"; default `{value['default']}`" if value.get("default") not in (None, [], {}) else "; optional"


def _causes(controls: list[Control]) -> Iterator[str]:
    yield from ("# The causes", "", _MADE, "")
    yield from (
        "Each finding has one of these codes, which programs match on. `nested-kvm explain CODE` shows the commands",
        "that fix it, and so does the chapter of the control.",
        "",
    )
    yield from _table(("code", "meaning", "found by"), [_cause(each, controls) for each in Cause])


def _cause(cause: Cause, controls: Iterable[Control]) -> tuple[str, str, str]:
    found_by = [f"[{each.id}](../controls.md#{each.id.lower()})" for each in controls if cause in each.causes]
    return f"`{cause.code}`", cause.explanation, ", ".join(found_by) or "the chain of a guest"


def _symptoms(controls: list[Control]) -> Iterator[str]:
    yield from ("# What did you see?", "", _MADE, "")
    yield from (
        "Messages of the kernel, kmod, QEMU, libvirt and others, in the words in which they are printed; `…` stands",
        "for what varies. `nested-kvm explain 'MESSAGE'` answers the same without a network, and `nested-kvm doctor`",
        "shows which of the causes it is on this machine.",
    )
    for symptom in SYMPTOMS:
        yield from _symptom(symptom, controls)
    yield from ("", "## What people described", "")
    yield from (
        "Failures that people published; the project's own tests replay each of them. [Failures from the",
        "field](field-failures.md) has what the audit reports for each.",
        "",
    )
    yield from (f"- {_escaped(each.about)} ([{each.title}]({each.thread}))" for each in published_failures())


def _symptom(symptom: Symptom, controls: list[Control]) -> Iterator[str]:
    yield from ("", f"## `{symptom.message}`", "", symptom.meaning, "")
    for cause in symptom.causes:
        found_by = [f"[{each.id}](controls.md#{each.id.lower()})" for each in controls if cause in each.causes]
        yield f"- `{cause.code}`: {cause.explanation} Found by {', '.join(found_by)}."
    alike = [each for each in published_failures() if _is_about(each, symptom)]
    if alike:
        yield from ("", f"Published: {', '.join(f'[{each.title}]({each.thread})' for each in alike)}.")


def _is_about(failure: PublishedFailure, symptom: Symptom) -> bool:
    return symptom.matches(failure.about)


def _sentence(text: str | None) -> str:
    text = text or ""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('?', '.', ')')) else '.'}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str | None, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(_escaped(cell or '') for cell in row)} |" for row in rows)


def _escaped(text: str) -> str:
    """The text in a cell or an item: nothing of it is markup that would break the line."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


def main(folder: Path) -> None:
    """Write all pages below a folder."""
    for path, text in pages().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
