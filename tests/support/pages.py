"""The pages that people read, and the commands of ours in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "examples").glob("*.md")),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"\$\{\{[^}]*\}\}|\$CI_NODE_INDEX|(?<=/)\$CI_NODE_TOTAL")
"""What a forge sets, a number each time."""
_SPAN = re.compile(r"`([^`\n]+)`")
_PROGRAM = r"(?:venv/bin/|\.venv/bin/)?(?:nested-kvm|pytest)|make|(?:\.venv/bin/)?python3? -m nested_kvm[\w.]*"
_WORD = r"(?!\||&&|;|>|#)(?:'[^']*'|\"[^\"]*\"|[^\s|;&>\"'`)])+"
_COMMAND = re.compile(rf"(?<![\w./=-])(?P<program>{_PROGRAM})(?P<words>(?: {_WORD})*)")


@dataclass(frozen=True)
class Command:
    """One command line, as a page has it."""

    page: Path
    program: str
    """nested-kvm, pytest, make, or the module that python runs."""
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}: {self.program} {shlex.join(self.words)}"


def commands(page: Path) -> Iterator[Command]:
    """Every command of ours in the code of a page: in blocks, and within sentences."""
    for code in _code(page.read_text(encoding="utf-8")):
        for found in _COMMAND.finditer(code):
            program = found["program"].rpartition("/")[2].rpartition(" ")[2]
            yield Command(page, program, tuple(shlex.split(found["words"])))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The blocks of code in these languages."""
    yield from (block for language, block in _FENCE.findall(page.read_text(encoding="utf-8")) if language in languages)


def _code(text: str) -> Iterator[str]:
    for language, block in _FENCE.findall(text):
        if language not in {"python", "toml"}:
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            prompt = "# " if language == "console" else ""
            plain = (_VARIABLE.sub("1", line.removeprefix(prompt)) for line in lines)
            yield from (re.sub(r"(^|\s)# .*", "", line) for line in plain)
    yield from _SPAN.findall(_FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """What `#…` may name in a page: its headings, as forges and MyST write them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().strip()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(name for name in (slug, *(f"{slug}-{n}" for n in range(1, 99))) if name not in found))
    return found


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The links to other files and to headings: the path, empty for the page itself, and the anchor."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        yield path, anchor
