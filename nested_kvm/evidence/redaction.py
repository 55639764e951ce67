"""Redacts secrets in readings before they are stored: passwords, tokens and keys.

A secret is masked character by character, so that quotes, blanks and lengths stay, and every reader of the text finds
the same words. What controls evaluate, the words of KVM and of nesting, is never masked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from nested_kvm.evidence.masking import masked, masked_behind, masked_cmdline
from nested_kvm.evidence.reading import Reading

_FREE_TEXT: Final = ("/etc/", "/run/", "/usr/", "/lib/", "/boot/", "/efi/", "/proc/cmdline", "modprobe", "dmesg")
"""Sources in which administrators write free text. Elsewhere `token:1` may be the name of a guest, say."""

_PASSES: Final = 4
_REMEMBERED: Final = 4096
"""Characters of a text, with its source, whose redaction is remembered."""
_EVALUATED_WORD: Final = re.compile(
    r"[\"']?[\w.-]{0,100}(?:nested|blacklist|kvm|clearcpuid|nomodule|modules[-_]load)[\w.-]{0,100}=|kvm[\w-]*$",
    re.IGNORECASE,
)
_GRUB_VARIABLE: Final = re.compile(
    r"[ \t]*(?:options[ \t]+|linux(?:16|efi)?[ \t]+|(?:(?:export|set)[ \t]+)?"
    r"(?:GRUB_CMDLINE_\w+|kernelopts|tuned_params|extra_cmdline)\+?=)[\"']?",
    re.ASCII,
)
_LOGGED_CMDLINE: Final = re.compile(r".{0,200}?command line[^:\"]{0,60}[:\"][ ]?", re.IGNORECASE)

# Every repetition is bounded or cannot fail, and none stands in front, so that the time stays linear.
_VALUE: Final = r"""(?P<value>"(?:[^"\\\n]|\\[\s\S]){0,1000}"|'[^'\n]{0,1000}'|[^\s,;]+)"""
_LONG_NAMES: Final = "passw|passphrase|secret|token|psk|credential|api[_-]?key|private[_-]?key"
_SHORT_NAMES: Final = r"(?<![a-z])(?:wep|wpa|enc|auth|user)?(?:key|pass|pwd)\d{0,4}"
_ASSIGNED: Final = re.compile(
    rf"(?P<name>(?:(?:{_LONG_NAMES})[\w.-]{{0,40}}|{_SHORT_NAMES})[\"']?[ \t]{{0,4}}[=:][ \t]{{0,4}}){_VALUE}",
    re.IGNORECASE,
)
_FOLLOWING: Final = re.compile(
    rf"(?P<name>(?:(?:passw(?:or)?d|passphrase|secret|token|credentials?)|--?[\w-]{{0,40}}(?:{_LONG_NAMES}|key|pass|pwd))"
    rf"[ \t]{{1,4}}){_VALUE}",
    re.IGNORECASE,
)
_LOGIN: Final = re.compile(
    r"(?P<name>(?<![\w-])(?:-[uU]|--(?:proxy-)?user)[ \t=]{0,4}[\"']?[^\s:\"']{1,80}:)(?P<value>[^\s\"']+)"
)
_SCHEME: Final = re.compile(
    r"(?P<name>authorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[a-z]{1,20}[ \t]{1,4})(?P<value>[^\s\"',;]+)", re.IGNORECASE
)
_IN_URL: Final = re.compile(r"(?P<name>://[^\s/@:]{0,80}:)(?P<value>[^\s/@]{1,200})(?=@)", re.IGNORECASE)

_SHELL_WORD: Final = r"""(?:[^ \t"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')*"""
_SHELL: Final = {
    "=": re.compile(_SHELL_WORD),
    "'": re.compile(f"[^']*'?{_SHELL_WORD}"),
    '"': re.compile(rf'(?:[^"\\]|\\.)*"?{_SHELL_WORD}'),
}
"""The rest of a variable's value in a line of shell, by the last character before it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret, with an example and what it becomes."""

    name: str
    sources: tuple[str, ...]
    """The rule applies to the sources that begin with one of these."""
    hints: tuple[str, ...]
    """One of these, in lower case, stands in every ASCII text that the rule changes; empty: it always applies."""
    redact: Callable[[str], str]
    example: str
    redacted: str

    def may_change(self, text: str, lower: str) -> bool:
        """Return whether the rule may change a text, given in lower case as well; hints cost less than a pattern."""
        return not self.hints or not text.isascii() or any(hint in lower for hint in self.hints)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Redacts readings by rules, one after the other."""

    rules: tuple[Rule, ...]

    def redact(self, source: str, text: str) -> str:
        """Return the text of a source with its secrets masked.

        A masked word may have hidden the name of another secret, so the rules apply until nothing changes.
        """
        rules = self._rules_for(source)
        for _ in range(_PASSES if rules else 0):
            before, lower = text, text.lower()
            for rule in rules:
                if rule.may_change(text, lower):
                    text = rule.redact(text)
                    lower = text.lower()
            if text == before:
                break
        return text

    def _rules_for(self, source: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if source.startswith(rule.sources))


def without_secrets(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """Return the readings with their secrets masked."""
    return {source: _without_secrets(source, reading) for source, reading in readings.items()}


def _without_secrets(source: str, reading: Reading) -> Reading:
    redact = _redacted if len(source) + len(reading.text) <= _REMEMBERED else REDACTOR.redact
    text = redact(source, reading.text)
    return reading if text == reading.text else replace(reading, text=text)


@lru_cache(maxsize=4096)
def _redacted(source: str, text: str) -> str:
    """The redacted text of a source: most machines of a fleet have the same."""
    return REDACTOR.redact(source, text)


def _masked_values(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """Mask the values of a pattern with the groups `name` and `value`."""
    return lambda text: pattern.sub(_mask_value, text)


def _mask_value(found: re.Match[str]) -> str:
    """Mask a value. An evaluated word stays where it is a separate one: `key= nested=0`, or within quotes."""
    is_separate = found["name"][-1:] in " \t"
    head, *others = re.split(r"(\s+)", found["value"])
    words = [head if is_separate and _EVALUATED_WORD.match(head) else masked(head)]
    words += [each if _EVALUATED_WORD.match(each) else masked(each) for each in others]
    return found["name"] + "".join(words)


RULES: Final = (
    Rule(
        "value of a name like password or key",
        _FREE_TEXT,
        ("passw", "passphrase", "secret", "token", "psk", "credential", "private", "key", "pass", "pwd"),
        _masked_values(_ASSIGNED),
        "options wlan wpa_psk=abc key=abc passwd='a b'",
        "options wlan wpa_psk=*** key=*** passwd='* *'",
    ),
    Rule(
        "word after a name like password or an option like --token",
        _FREE_TEXT,
        ("passw", "passphrase", "secret", "token", "psk", "credential", "private", "key", "pass", "pwd"),
        _masked_values(_FOLLOWING),
        "install x /sbin/x --token abc",
        "install x /sbin/x --token ***",
    ),
    Rule(
        "user and password of an option",
        _FREE_TEXT,
        ("-u", "--user", "--proxy-user"),
        _masked_values(_LOGIN),
        "install x curl -u admin:abc example.net",
        "install x curl -u admin:*** example.net",
    ),
    Rule(
        "HTTP authorization",
        _FREE_TEXT,
        ("authorization",),
        _masked_values(_SCHEME),
        "install x curl -H 'Authorization: Bearer abc'",
        "install x curl -H 'Authorization: Bearer ***'",
    ),
    Rule(
        "password in a URL",
        _FREE_TEXT,
        ("://",),
        _masked_values(_IN_URL),
        "install x curl https://admin:abc@example.net/",
        "install x curl https://admin:***@example.net/",
    ),
    Rule(
        "kernel command line",
        ("/proc/cmdline", "/etc/kernel/cmdline"),
        (),
        masked_cmdline,
        "quiet root=/dev/sda1 kvm.nested=1 -- --token x",
        "quiet root=********* kvm.nested=1 -- --***** *",
    ),
    Rule(
        "kernel command line in GRUB's defaults",
        ("/etc/default/grub",),
        (),
        masked_behind(_GRUB_VARIABLE, _SHELL, masked_cmdline),
        'GRUB_CMDLINE_LINUX="ro vnc=pw" # note',
        'GRUB_CMDLINE_LINUX="ro vnc=**" # ****',
    ),
    Rule(
        "kernel command line in a boot entry",
        ("/boot/", "/efi/"),
        (),
        masked_behind(_GRUB_VARIABLE, {}),
        "options ro vnc=pw",
        "options ro vnc=**",
    ),
    Rule(
        "kernel command line in the kernel log",
        ("dmesg",),
        ("command line",),
        masked_behind(_LOGGED_CMDLINE, {}),
        "[0.0] Kernel command line: ro vnc=pw",
        "[0.0] Kernel command line: ro vnc=**",
    ),
)
"""The rules, in order: those for command lines come last, as they decide by whole words what is evaluated."""

REDACTOR: Final = Redactor(RULES)
