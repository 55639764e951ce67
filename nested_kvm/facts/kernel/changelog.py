"""The changelog of the running kernel's package: which advisories it says are fixed.

The probe prints its items about KVM that name an advisory or revert something, each in one line and behind what it
stands below, under the heading of their version. The newest version is the first, and always there; behind the last
are the packages of kernels that dpkg knows:

    linux (6.1.177-1) bookworm-security; urgency=high
      * New upstream stable update:    - [x86] KVM: x86: Fix shadow paging use-after-free … (CVE-2026-53359)
    Package: linux-image-6.1.0-50-amd64
    Status: install ok installed
    Version: 6.1.177-1
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.verdict import Evidence

_DPKG_HEADING: Final = re.compile(r"(?P<source>[a-z0-9][a-z0-9+.-]{0,80}) \((?P<version>[^()\s]{1,80})\) ")
_SIGNED: Final = "linux-signed-"
"""Debian signs a package in another source: its version 6.1.192+2 is that of 6.1.192-2."""
_PACKAGE: Final = re.compile(
    r"^Package: linux-image-(?:unsigned-)?(?P<release>\d[\w.+~-]{0,80}?)(?:-unsigned)?(?P<fields>(?:\n(?!P).*){1,2})",
    re.ASCII | re.MULTILINE,
)
_INSTALLED: Final = frozenset({"Status: install ok installed", "Status: hold ok installed"})
_VERSION: Final = re.compile(r"^Version: ([\w.+~:-]{1,80})$", re.ASCII | re.MULTILINE)
_RPM_HEADING: Final = re.compile(r"\* .{5,200}")
_REVERTS: Final = re.compile(r"\brevert(?:s|ed)?[ :]{1,4}", re.IGNORECASE)
_TAKES_BACK: Final = re.compile(
    r"(?:^|\s)[-+*]\s{1,8}(?:\[[^\]]{0,40}\]\s{0,8}){0,4}(?:\w{1,20}ly\s{1,8})?"
    r"(?:drop|delete|remove|disable|back out|undo)(?:s|ed|d)?\s",
    re.IGNORECASE,
)
"""How an item begins that takes a patch out again: SUSE's `- Delete patches.suse/KVM-….patch (CVE-…)`."""
_DENIES: Final = re.compile(
    r"\bun-?affected|\b(?:not|never|no longer|isn't|aren't)\b[^.;]{0,60}\b(?:affect|vulnerab|fix|appl|need|relevant)"
    r"|\b(?:does|do|did)(?: not|n't)\b|\bstill\b[^.;]{0,40}\b(?:vulnerab|affect|open|exposed)"
    r"|\b(?:incomplete|partial|workaround|mitigat|ignor|defer|postpon|disput)|\bblacklist\.conf\b",
    re.IGNORECASE,
)
"""Words with which an item names an advisory that it does not fix."""
_REMEMBERED: Final = 64
"""Changelogs that are kept once, however many hosts have them."""
_SHORTEST: Final = 30
"""Letters of a patch's subject that identify it."""


@dataclass(frozen=True, slots=True)
class Mention:
    """An item that names an advisory, or reverts its fix."""

    is_fix: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Changelog:
    """The items about KVM, by the heading of their version, the newest first.

    Source: `gzip -dc /usr/share/doc/linux-…/changelog.gz` and `/var/lib/dpkg/status`, or `rpm -qf --changelog`.
    """

    source: str
    is_dpkg: bool
    items: tuple[tuple[str, str], ...]
    """Heading and text of each."""
    newest: str | None = None
    """dpkg's: the version of the newest entry, which is the package's own."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """dpkg's: the versions of the installed packages of kernels, by release."""
    _known: dict[tuple[str, str], Mention | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was searched for already: hosts with the same kernel have the same changelog."""

    def mention(self, identifier: str, title: str) -> Mention | None:
        """The newest item that decides whether the advisory is fixed; None: there is none.

        A version whose items contradict each other, or one that reverts the patch of that title, decides nothing.
        """
        key = (identifier, title)
        if key not in self._known:
            self._known[key] = self._mention(identifier, title)
        return self._known[key]

    def _mention(self, identifier: str, title: str) -> Mention | None:
        named = re.compile(rf"(?<![\w-]){re.escape(identifier)}(?![\w-])")
        entries: dict[str, list[str]] = {}
        for heading, text in self.items:
            entries.setdefault(heading, []).append(text)
        for heading, texts in entries.items():
            reverting = [text for text in texts if _reverts(text, named, title)]
            fixing = [text for text in texts if named.search(text) and text not in reverting]
            if reverting:
                return Mention(is_fix=False, evidence=self._quoted(heading, reverting[0]))
            if fixing and not any(_DENIES.search(_without(title, text)) for text in fixing):
                return Mention(is_fix=True, evidence=self._quoted(heading, fixing[0]))
        return None

    def _quoted(self, heading: str, text: str) -> Evidence:
        return Evidence(f"{self.source} ({heading.partition(';')[0].strip()})", " ".join(text.split()))


def _without(title: str, text: str) -> str:
    """The item without the patch's own subject, whose words deny nothing."""
    return " ".join(text.split()).casefold().replace(" ".join(title.split()).casefold(), "")


def _reverts(text: str, named: re.Pattern[str], title: str) -> bool:
    if named.search(text) and _TAKES_BACK.search(text):
        return True
    if not _REVERTS.search(text):
        return False
    quoted = " ".join(text.split()).casefold()
    whole = " ".join(title.split()).casefold()
    reverted = _REVERTS.split(quoted, maxsplit=1)[-1]
    # A patch may have the word in its own subject: what is reverted begins with the subject, in quotes or without.
    return whole[:_SHORTEST] in reverted[: len(whole) + _SHORTEST] or bool(
        named.search(text) and re.search(r"\brevert(?:s|ed)?:? [\"']", text, re.IGNORECASE)
    )


def changelog_of(bundle: Bundle) -> Changelog | None:
    """The changelog that the probe read; None: there is none, or it has no heading."""
    for reading in bundle.readings.values():
        if reading.source.startswith(sources.CHANGELOGS):
            return _parse(reading.source, reading.text) if reading.is_ok else None
    return None


@lru_cache(maxsize=_REMEMBERED)
def _parse(source: str, text: str) -> Changelog | None:
    is_dpkg = source.startswith(sources.CHANGELOGS[0])
    is_heading = _DPKG_HEADING if is_dpkg else _RPM_HEADING
    first = is_heading.match(text)
    if first is None:
        return None
    items = tuple(_items(text, is_heading))
    if not is_dpkg:
        return Changelog(source, is_dpkg, items)
    return Changelog(source, is_dpkg, items, _package_version(first), dict(_installed_packages(text)))


def _installed_packages(text: str) -> Iterator[tuple[str, str]]:
    for package in _PACKAGE.finditer(text):
        version = _VERSION.search(package["fields"])
        if version is not None and not _INSTALLED.isdisjoint(package["fields"].split("\n")):
            yield package["release"], version[1]


def _package_version(heading: re.Match[str]) -> str:
    version = heading["version"]
    return version.replace("+", "-", 1) if heading["source"].startswith(_SIGNED) else version


def _items(text: str, is_heading: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    heading = None
    for line in text.split("\n"):
        if is_heading.match(line):
            heading = line
        elif heading is not None and line.startswith(" ") and line.strip():
            yield heading, line
