"""Takes secrets out of readings before they are kept.

What no control evaluates is masked character by character, so that the rest parses as before: quotes, blanks and
lengths stay.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from nested_kvm.evidence.reading import Reading

_WORD: Final = re.compile(r"\S+")
_JUDGED: Final = re.compile(r"nested|blacklist", re.IGNORECASE)
_OF_KVM: Final = re.compile(r"kvm", re.IGNORECASE)
_KEY: Final = re.compile(
    r"[ \t]*(?:options[ \t]+|(?:export[ \t]+)?(?:GRUB_CMDLINE_\w+|kernelopts)\+?=)[\"']?", re.ASCII
)
_IN_LOG: Final = re.compile(r".{0,200}?command line[^:\"]{0,60}[:\"][ ]?", re.IGNORECASE)
# Every repetition is bounded, and none stands in front, so that the time stays linear.
_NAMED: Final = re.compile(
    r"(?P<name>(?:passw|passphrase|secret|token|psk|credential|api[_-]?key|private[_-]?key)[\w.-]{0,40}[ \t]{0,4}[=:]"
    r"[ \t]{0,4})(?P<value>\"[^\"\n]{0,1000}\"|[^\s,;]+)",
    re.IGNORECASE,
)
_NAMES: Final = (
    "passw",
    "passphrase",
    "secret",
    "token",
    "psk",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "private",
)
"""One of them stands in all that `_NAMED` finds."""
_WORD_ON: Final = r"""(?:[^ \t"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*"""
_SHELL: Final = {
    "=": re.compile(_WORD_ON),
    "'": re.compile(f"[^']*'?{_WORD_ON}"),
    '"': re.compile(rf'(?:[^"\\]|\\.)*"?{_WORD_ON}'),
}
"""What belongs to a variable's value in a shell's line, by the last letter in front of it."""
_ASSIGNED: Final = re.compile(r"(?P<name>(?:(?<=[ \t])[A-Za-z_]\w{0,100}=)?)(?P<value>[^ \t]+)", re.ASCII)
_STAYS: Final = "\"' \t-\\#;&|<>()"
_IN_URL: Final = re.compile(r"(?P<name>://[^\s/@:]{0,80}:)(?P<value>[^\s/@]{1,200})(?=@)", re.IGNORECASE)

_FREE_TEXT: Final = ("/etc/", "/run/", "/usr/", "/lib/", "/boot/", "/proc/cmdline", "modprobe", "dmesg")
"""Where people write what they like. Elsewhere `token:1` is the name of a guest, say, and is no secret."""


def without_secrets(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """The readings, what may be secret in them masked."""
    return {source: _without_secrets(source, reading) for source, reading in readings.items()}


def _without_secrets(source: str, reading: Reading) -> Reading:
    text = _clean(source, reading.text) if reading.text else ""
    return reading if text == reading.text else replace(reading, text=text)


def _clean(source: str, text: str) -> str:
    cleaner = next((clean for start, clean in _CLEANERS.items() if source.startswith(start)), None)
    text = text if cleaner is None else cleaner(text)
    if not source.startswith(_FREE_TEXT):
        return text
    if _mentions(text, *_NAMES):
        text = _NAMED.sub(_mask_value, text)
    return _IN_URL.sub(_mask_value, text) if "://" in text else text


def _mentions(text: str, *words: str) -> bool:
    """Whether one of the words may be there, at far less cost than by a pattern; letters beside ASCII leave it open."""
    lowered = text.lower()
    return not text.isascii() or any(word in lowered for word in words)


def _mask_value(found: re.Match[str]) -> str:
    return found["name"] + _masked(found["value"])


def masked_cmdline(text: str) -> str:
    """A kernel command line: only flags and the words of KVM and of modules that are kept from loading stay whole."""
    is_inside = behind_dashes = False

    def mask(found: re.Match[str]) -> str:
        nonlocal is_inside, behind_dashes
        word, was_inside = found[0], is_inside
        is_inside ^= word.count('"') % 2 == 1
        behind_dashes = behind_dashes or word == "--"
        name, equals, value = word.partition("=")
        if _JUDGED.search(word) or _OF_KVM.search(name):
            return word
        if not equals and not was_inside and not behind_dashes:
            return word
        return name + equals + _masked(value) if equals and not was_inside else _masked(word)

    return _WORD.sub(mask, text)


def _behind(key: re.Pattern[str], parts: Mapping[str, re.Pattern[str]]) -> Callable[[str], str]:
    """Mask the command line that stands behind a key in a line; `parts` finds it, by the key's last letter."""

    def clean(text: str) -> str:
        lines = ((key.match(line), line) for line in text.split("\n"))
        return "\n".join(
            line if found is None else found[0] + _masked_value(parts.get(found[0][-1:]), line[found.end() :])
            for found, line in lines
        )

    return clean


def _masked_value(part: re.Pattern[str] | None, text: str) -> str:
    """A command line up to its end; what a shell would read behind that is of no kernel."""
    inside = None if part is None else part.match(text)
    if inside is None:
        return masked_cmdline(text)
    return masked_cmdline(inside[0]) + _masked_rest(text[inside.end() :])


def _masked_rest(text: str) -> str:
    """What follows a value in its line: a comment, or other assignments."""
    if text.lstrip().startswith("#"):
        return _masked(text)
    return _ASSIGNED.sub(lambda found: found["name"] + _masked(found["value"]), text)


def _masked(value: str) -> str:
    """Each byte of it a `*`; what quotes, parts and ends words, for the kernel and for a shell, stays."""
    return "".join(letter if letter in _STAYS else "*" * len(letter.encode(errors="replace")) for letter in value)


_clean_log: Final = _behind(_IN_LOG, {})
_CLEANERS: Final[Mapping[str, Callable[[str], str]]] = {
    "/proc/cmdline": masked_cmdline,
    "/etc/kernel/cmdline": masked_cmdline,
    "/etc/default/grub": _behind(_KEY, _SHELL),
    "/boot/": _behind(_KEY, {}),
    "dmesg": lambda text: _clean_log(text) if _mentions(text, "command line") else text,
}
