"""The commands in the pages exist, their links lead somewhere, and the generated ones are current."""

import argparse
import contextlib
import io
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from nested_kvm.command.parser import build_parser
from nested_kvm.controls.catalogue import catalogue
from nested_kvm.model.cause import Cause
from nested_kvm.results.run import ExitStatus
from tests.support.pages import PAGES, ROOT, Command, anchors, commands, links
from tests.support.parsed import refusals

MADE_FROM_THE_PARSER = "command.md"
COMMANDS = [command for page in PAGES if page.name != MADE_FROM_THE_PARSER for command in commands(page)]
NAMES_THE_CHECKS = {"--pyargs", "nested_kvm.checks"}
"""With them pytest starts again with the audit's settings."""
OURS = {"nested-kvm", "nested_kvm"}
AUDITS: dict[str, tuple[str, ...]] = {
    "audit": (),
    "gate": ("--gate",),
    "maintenance": ("-m", "maintenance"),
    "controls": ("--controls",),
}
MAKEFILES = (ROOT / "Makefile", ROOT / "lab" / "lab.mk")
TARGETS = {
    name
    for path in MAKEFILES
    for line in re.findall(r"^([\w./ -]+):(?!=)", path.read_text(), re.MULTILINE)
    for name in line.split()
}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def subcommands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    return {str(name): parser for name, parser in found.items()}


def audit_words(command: Command) -> list[str] | None:
    """The command line that pytest gets; None: the command is not an audit."""
    words = ["local://" if word == "…" else word for word in command.words if word not in NAMES_THE_CHECKS]
    if command.program in {"pytest", "nested_kvm.checks"}:
        return words
    if command.program not in OURS or not words or words[0] not in AUDITS or "--help" in words:
        return None
    return [*AUDITS[words[0]], *words[1:]]


@cache
def refused_audits() -> dict[Command, str | None]:
    audits = [(command, words) for command in COMMANDS if (words := audit_words(command)) is not None]
    return dict(zip([command for command, _ in audits], refusals([words for _, words in audits]), strict=True))


def mistake(command: Command) -> str | None:
    """What is wrong with a command; None: it would run."""
    if command.program == "make":
        return next((f"no target {word}" for word in command.words if "=" not in word and word not in TARGETS), None)
    words = audit_words(command)
    if words is not None:
        return refused_audits()[command] if command in refused_audits() else refusals([words])[0]
    return mistake_of_ours(list(command.words)) if command.program in OURS else None


def mistake_of_ours(words: list[str]) -> str | None:
    if not words or words[0].isupper() or words[0].startswith("-"):
        return None
    name, *rest = words
    if name not in subcommands():
        return f"no command {name}"
    return None if name == "import-answers" or "--help" in rest else refused(subcommands()[name], rest)


def refused(parser: argparse.ArgumentParser, words: list[str]) -> str | None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            _, rest = parser.parse_known_args(words)
        except SystemExit:
            return said.getvalue().strip().splitlines()[-1]
    return f"unknown: {', '.join(rest)}" if rest else None


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 80
    assert {command.program for command in COMMANDS} >= {"nested-kvm", "pytest", "make"}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_one_that_its_parser_takes(command: Command) -> None:
    assert mistake(command) is None


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nested-kvm", ["audit", "--inventroy=x"]),
        ("nested-kvm", ["audit", "--hosts=local://", "--nested=maybe"]),
        ("nested-kvm", ["gate", "--inventory=x", "--nested=forbidden"]),
        ("nested-kvm", ["docter"]),
        ("nested-kvm", ["schema", "results", "--yaml"]),
        ("pytest", ["--gates"]),
        ("make", ["audits"]),
    ],
)
def test_a_command_that_is_wrong_is_found(program: str, words: list[str]) -> None:
    assert mistake(Command(Path("page.md"), program, tuple(words))) is not None


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    dead = []
    for path, anchor in links(page):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{path}#{anchor}")
    assert dead == []


def test_the_generated_pages_are_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "tools/reference.py", str(tmp_path)], cwd=ROOT, check=True)
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.md")}
    assert len(made) > 4
    stale = {str(path) for path, text in made.items() if (ROOT / "docs" / path).read_text() != text}
    assert stale == set(), "run: python tools/reference.py docs"


def test_the_reference_has_every_cause_and_every_option() -> None:
    causes = (ROOT / "docs" / "reference" / "causes.md").read_text()
    assert {cause.code for cause in Cause if f"| `{cause.code}` |" not in causes} == set()
    assert {each.id for each in catalogue(ROOT) if f"#{each.id.lower()})" not in causes} == set()
    command = (ROOT / "docs" / "reference" / "command.md").read_text()
    assert "nested-kvm verify DIR --allowed-signers=FILE [--max-age]" in command
    assert {name for name in subcommands() if f"\n## {name}\n" not in command} == set()
    options = {name for action in subcommands()["audit"]._actions for name in action.option_strings}
    assert {name for name in options if f"`{name}" not in command} == {"-h", "--help"}


def test_every_exit_status_has_its_row() -> None:
    page = (ROOT / "docs" / "exit-status.md").read_text()
    assert {status for status in (*map(int, ExitStatus), 2, 3, 5) if f"\n| {status} | " not in page} == set()


def test_every_key_of_an_inventory_has_its_row() -> None:
    keys = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reference" / "inventory-keys.md").read_text(), re.MULTILINE)
    page = (ROOT / "docs" / "inventory.md").read_text()
    assert {key for key in keys if f"`{key}`" not in page} <= {"policy", "hosts"}
    assert {"nested", "account", "via"} <= set(keys)
