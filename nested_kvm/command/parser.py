"""The command line of `nested-kvm`: its help, its completion and its man page come from this parser."""

import argparse
from pathlib import Path
from typing import Any, Final, cast

import pytest

from nested_kvm.plugin.options import add_options
from nested_kvm.util.files import given_path
from nested_kvm.version import VERSION

SCHEMAS: Final = ("inventory", "waivers", "advisories", "results", "evidence")
WRITTEN: Final = ("inventory", "waivers")
SHELLS: Final = ("bash", "zsh", "fish")
EXIT_STATUSES: Final = """\
exit status:
  0  compliant              1  a finding at or above --fail-on
  6  not decided            4  bad usage, or nothing to audit
  2, 3, 5  as pytest: interrupted, internal error, nothing selected"""
_EXAMPLES: Final = """\
examples:
  nested-kvm doctor                                can this machine nest?
  nested-kvm audit --hosts=ssh://root@kvm-a        one host, no inventory
  nested-kvm init && nested-kvm gate --inventory=inventory.yaml
  nested-kvm explain 'kvm: disabled by bios'       a message, in plain words"""
_AS_PYTEST: Final = """\
It is a pytest run: all options of pytest and of pytest-testinfra work as well,
such as -k, -m, -x, -v, --junitxml and --ssh-config; `pytest --help` lists them."""

_OF_A_MERGE: Final = f"""\
Of the options of `nested-kvm audit` it takes those about what counts and about
reports: --gate, --nagios, --fail-on, --fail-on-drift, --max-age, --report-dir,
--sign-with, --allowed-signers.

{EXIT_STATUSES}"""


class _OptionGroup:
    """Takes pytest's form of an option for argparse's."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._group = parser.add_argument_group("options of the audit (write --name=value)")

    def addoption(self, *names: str, **settings: Any) -> None:
        """Add an option."""
        self._group.add_argument(*names, **settings)


class _Options:
    """Stands in for pytest's parser, so that the audit's options are written down once."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._group = _OptionGroup(parser)

    def getgroup(self, _name: str, _description: str = "") -> _OptionGroup:
        """Return the one group."""
        return self._group


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = _parser(
        "nested-kvm",
        "Can every guest that must run VMs do so, now and after the next reboot, and can\nnone that must not?",
        f"{_EXAMPLES}\n\n{EXIT_STATUSES}",
    )
    parser.add_argument("--version", action="version", version=f"nested-kvm {VERSION}")
    commands = parser.add_subparsers(prog="nested-kvm", dest="command", title="commands", metavar="COMMAND")
    for name, text in (
        ("audit", "evaluate every control; reports go into reports/"),
        ("gate", "the same, strictly: errors and unknowns block too"),
        ("maintenance", "does an L2 run? ask before a migration or reboot"),
    ):
        _add_audit(commands, name, text)
    merge = _add(commands, "merge", "make one report of several runs, e.g. of shards", _OF_A_MERGE)
    merge.add_argument("runs", nargs="+", metavar="DIR", help="a run's folder, with its results.json")
    _add_candidate(commands)
    _add_verify(commands)
    _add(commands, "controls", "list the controls")
    _add_explain(commands)
    _add_doctor(commands)
    init = _add(commands, "init", "write an inventory, a check of your own and a CI job")
    init.add_argument(
        "folder", nargs="?", type=given_path, default=Path(), metavar="FOLDER", help="where to (default: here)"
    )
    _add_for_others(commands)
    return parser


def audit_options() -> list[str]:
    """The options that the audit adds to pytest's, and those of pytest-testinfra."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(cast("pytest.Parser", _Options(parser)))
    own = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - no other way to list
    return [*own, "--hosts", "--connection", "--ssh-config", "--ssh-identity-file", "--sudo", "--ansible-inventory"]


def _add_audit(commands: Any, name: str, text: str) -> None:
    parser = _add(commands, name, text, f"{_AS_PYTEST}\n\n{EXIT_STATUSES}")
    parser.usage = "%(prog)s [OPTIONS] [CHECKS]"
    parser.add_argument(
        "--hosts", metavar="HOSTS", help="what to audit: ssh://root@kvm-a,local://; with --inventory glob patterns"
    )
    add_options(cast("pytest.Parser", _Options(parser)))


def _add_candidate(commands: Any) -> None:
    statuses = (
        "With --evidence, --inventory or --hosts it is a gate on these hosts.\n\nexit status:\n"
        "  0  every guest complies    1  a finding    6  not decided    4  bad usage, or no guest"
    )
    parser = _add(commands, "candidate", "would the guests that files define get the flag?", statuses)
    parser.add_argument("files", nargs="+", type=given_path, metavar="FILE", help="files or folders that define guests")
    parser.add_argument(
        "--nested",
        choices=["required", "forbidden", "guarded"],
        default="required",
        help="the policy (default: required)",
    )
    parser.add_argument(
        "--guest",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only guests whose name matches; repeat for each",
    )
    parser.add_argument("--skip-others", action="store_true", help="skip files that define no guest")
    parser.add_argument("--allow-unknown", action="store_true", help="what the files do not decide does not block")
    parser.add_argument("--json", action="store_true", help="the verdicts for programs")
    parser.add_argument("--evidence", type=given_path, metavar="DIR", help="the saved evidence of the hosts")
    parser.add_argument("--inventory", type=given_path, metavar="FILE", help="the inventory of the hosts")
    parser.add_argument("--hosts", metavar="HOSTS", help="the hosts; with --inventory glob patterns")
    parser.add_argument(
        "--active",
        action="store_true",
        help="have the libvirt and QEMU of each of these hosts say what the definitions give; starts no guest",
    )


def _add_verify(commands: Any) -> None:
    statuses = "exit status:\n  0  all is as it was signed    1  it is not, or is not signed    4  bad usage"
    parser = _add(commands, "verify", "is a run's folder as it was signed (audit --sign-with)?", statuses)
    parser.add_argument("folder", type=given_path, metavar="DIR", help="the run's folder, with its SHA256SUMS")
    parser.add_argument(
        "--allowed-signers",
        type=given_path,
        metavar="FILE",
        required=True,
        help="who may have signed it, as ssh-keygen(1) describes it",
    )
    parser.add_argument("--max-age", metavar="DURATION", help="refuse a run that started earlier: 90m, 36h, 7d")


def _add_explain(commands: Any) -> None:
    parser = _add(commands, "explain", "a control, a cause, or a message that you saw")
    parser.add_argument(
        "words", nargs="+", metavar="WHAT", help="L0-PER-01, host-model-drops-svm, or 'kvm: disabled by bios'"
    )


def _add_doctor(commands: Any) -> None:
    statuses = "exit status:\n  0  it can nest    1  it cannot    6  that could not be decided"
    parser = _add(commands, "doctor", "can this machine nest, can its VMs, and if not, why?", statuses)
    parser.add_argument("--json", action="store_true", help="the answer for programs")


def _add_for_others(commands: Any) -> None:
    probe = _add(commands, "probe", "print the script that inspects a machine")
    probe.add_argument(
        "arguments", nargs="*", metavar="ARGUMENT", help="the script's own arguments, set in it; see its head"
    )
    answers = _add(commands, "import-answers", "make evidence of what Salt or Ansible collected", add_help=False)
    answers.add_argument("rest", nargs="*", metavar="ARGUMENT", help="`import-answers --help` lists them")
    schema = _add(commands, "schema", "print the JSON Schema of a file")
    schema.add_argument("of", choices=SCHEMAS, metavar="|".join(SCHEMAS), help="of which file")
    validate = _add(commands, "validate", "find the errors of an inventory or a waiver file")
    validate.add_argument("kind", choices=WRITTEN, metavar="|".join(WRITTEN), help="what the files are")
    validate.add_argument("files", nargs="+", type=given_path, metavar="FILE", help="the files")
    completion = _add(commands, "completion", 'for your shell: eval "$(nested-kvm completion bash)"')
    completion.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS), help="your shell")


def _add(commands: Any, name: str, text: str, epilog: str = "", *, add_help: bool = True) -> argparse.ArgumentParser:
    added = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        add_help=add_help,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return cast("argparse.ArgumentParser", added)


def _parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        name,
        usage="%(prog)s [-h] [--version] COMMAND …",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
