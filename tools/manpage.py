"""The man page of nested-kvm, from its parser: `python tools/manpage.py > docs/nested-kvm.1`."""

import argparse
import sys
from collections.abc import Iterator

from nested_kvm.command.parser import build_parser

_AUDITS = ("gate", "maintenance")
"""Commands with the options of `audit`, which are listed once."""


def manpage() -> str:
    """Return the page. It carries no date and no version: it changes with the parser alone."""
    parser = build_parser()
    lines = ['.TH NESTED-KVM 1 "" "nested-kvm-compliance" "nested KVM compliance"']
    lines += [".SH NAME", "nested\\-kvm \\- audits whether KVM guests can, or cannot, run their own virtual machines"]
    lines += [".SH SYNOPSIS", ".B nested\\-kvm", "COMMAND [OPTIONS]", ".SH DESCRIPTION", *_text(parser.description)]
    lines.append(".SH COMMANDS")
    for name, command in _commands(parser).items():
        lines += [f".SS {_escaped(name)} {_arguments(command)}".rstrip(), *_text(command.description)]
        if name in _AUDITS:
            lines += [".PP", "It takes the options of", ".BR audit ."]
        else:
            lines += [line for action in command._actions for line in _option(action)]  # noqa: SLF001 - no other way
    lines += [line for title, text in _sections(parser.epilog) for line in (f".SH {title}", ".nf", *_text(text), ".fi")]
    lines += [".SH SEE ALSO", ".BR pytest (1)"]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))  # noqa: SLF001
    return {str(name): command for name, command in found.items()}


def _arguments(command: argparse.ArgumentParser) -> str:
    positional = [action for action in command._actions if not action.option_strings]  # noqa: SLF001 - as above
    return _escaped(" ".join(str(action.metavar or action.dest.upper()) for action in positional))


def _option(action: argparse.Action) -> Iterator[str]:
    if action.dest == "help":
        return
    choices = "|".join(map(str, action.choices or ()))
    value = "" if action.nargs == 0 else str(action.metavar or choices or action.dest.upper())
    names = ", ".join(action.option_strings) or value
    shown = f"{names}={value}" if action.option_strings and value else names
    yield from (".TP", f".B {_escaped(shown)}", *_text(action.help))


def _sections(epilog: str | None) -> Iterator[tuple[str, str]]:
    for section in (epilog or "").split("\n\n"):
        title, _, text = section.partition(":\n")
        yield title.upper(), text


def _text(text: str | None) -> list[str]:
    return [_escaped(line) for line in (text or "").splitlines()]


def _escaped(text: str) -> str:
    """The text for roff: a backslash, a hyphen that can be copied, and a dot or quote that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(manpage())
