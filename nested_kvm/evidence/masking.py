"""Masks texts character by character, so that quotes, blanks and lengths stay."""

import re
from collections.abc import Callable, Mapping
from typing import Final

_EVALUATED: Final = re.compile(
    r"nested|blacklist|(?<![\w.-])(?:(?:clearcpuid|nomodule|(?:rd\.)?modules[-_]load)=|overlayroot=tmpfs"
    r"|(?:root=(?:PART)?UUID=[\dA-F-]+|pci=off|reboot=k|init=/init\.krun)[\"']?$)",
    re.IGNORECASE,
)
"""Words that are evaluated whole. The UUID of its root distinguishes the boot entries of one system from another's."""
_OF_KVM: Final = re.compile(r"kvm|(?<![\w.-])(?:ccp|irqbypass)\.", re.IGNORECASE)
"""The names of parameters of KVM's modules and of those that they need: one bad value keeps all from loading."""
_WORD: Final = re.compile(r"\S+")
_VARIABLE: Final = re.compile(r"(?P<name>(?:(?<=[ \t])[A-Za-z_]\w{0,100}=)?)(?P<value>[^ \t]+)", re.ASCII)
_KEPT: Final = "\"' \t-\\#;&|<>()"
"""Characters that delimit words, for the kernel and for a shell."""


def masked(value: str) -> str:
    """Replace each byte by `*`, except for characters that delimit words."""
    return "".join(
        letter if letter in _KEPT or letter.isspace() else "*" * len(letter.encode(errors="replace"))
        for letter in value
    )


def masked_cmdline(text: str) -> str:
    """Mask a kernel command line: only flags stay, and what is evaluated: the words of KVM, of modules, of the root."""
    return _WORD.sub(_CmdlineWords().mask, text)


class _CmdlineWords:
    """The words of one kernel command line, in order."""

    def __init__(self) -> None:
        self._is_quoted = False
        self._is_for_init = False
        """Behind `--`: the arguments of init."""

    def mask(self, found: re.Match[str]) -> str:
        """Mask the next word."""
        word, was_quoted = found[0], self._is_quoted
        self._is_quoted ^= word.count('"') % 2 == 1
        self._is_for_init = self._is_for_init or word == "--"
        name, equals, value = word.partition("=")
        if _EVALUATED.search(word) or _OF_KVM.search(name):
            return word
        if not equals and not was_quoted and not self._is_for_init:
            return word
        return name + equals + masked(value) if equals and not was_quoted else masked(word)


def masked_behind(
    key: re.Pattern[str], parts: Mapping[str, re.Pattern[str]], otherwise: Callable[[str], str] = str
) -> Callable[[str], str]:
    """Mask the command line that follows a key in a line; `parts` finds its end, by the key's last character.

    `otherwise` masks a line without the key.
    """

    def redact(text: str) -> str:
        lines = ((key.match(line), line) for line in text.split("\n"))
        return "\n".join(
            otherwise(line) if found is None else found[0] + _masked_line(parts.get(found[0][-1:]), line[found.end() :])
            for found, line in lines
        )

    return redact


def _masked_line(part: re.Pattern[str] | None, text: str) -> str:
    """Mask a command line, and what a shell would read after it."""
    inside = None if part is None else part.match(text)
    if inside is None:
        return masked_cmdline(text)
    return masked_cmdline(inside[0]) + _masked_rest(text[inside.end() :])


def _masked_rest(text: str) -> str:
    """Mask the rest of a line of shell: a comment, or other assignments."""
    if text.lstrip().startswith("#"):
        return masked(text)
    return _VARIABLE.sub(lambda found: found["name"] + masked(found["value"]), text)
