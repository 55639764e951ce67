"""The command `nested-kvm`: the audit and everything around it, in any folder."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nested_kvm.command.parser import audit_options, build_parser
from nested_kvm.errors import UsageError
from nested_kvm.util.text import printable

USAGE: Final = 4
_ARGPARSE_USAGE: Final = 2
_TAKES_MORE: Final = frozenset({"merge", "import-answers"})
"""Commands that pass on options which their own parser does not know."""
_OF_WORDS: Final = "explain"
"""The command that takes a message without quotes: QEMU's have words such as `-accel` in them."""
_AUDITS: Final[Mapping[str, tuple[str, ...]]] = {
    "audit": (),
    "gate": ("--gate",),
    "maintenance": ("-m", "maintenance"),
    "controls": ("--controls",),
}
"""The commands that are an audit, and what each adds to its command line."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit status."""
    given = list(sys.argv[1:] if words is None else words)
    if sys.flags.optimize > 1:
        sys.stderr.write("nested-kvm: python -OO removes docstrings, which say what a control requires\n")
        return USAGE
    asks_for_help = not {"-h", "--help"}.isdisjoint(given)
    if given and given[0] in _AUDITS and not asks_for_help and "_ARGCOMPLETE" not in os.environ:
        return _audit([*_AUDITS[given[0]], *given[1:]])
    if given[:1] == [_OF_WORDS] and "--" not in given and not asks_for_help:
        given.insert(1, "--")
    return _run(given)


def _run(words: list[str]) -> int:
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete  # noqa: PLC0415 - only a shell asks for it

        argcomplete.autocomplete(parser)
    try:
        given, rest = parser.parse_known_args(words)
    except SystemExit as ended:
        return USAGE if ended.code == _ARGPARSE_USAGE else int(ended.code or 0)
    if given.command is None:
        parser.print_help()
        return USAGE
    if rest and given.command not in _TAKES_MORE:
        sys.stderr.write(f"nested-kvm {given.command}: unrecognized arguments: {printable(' '.join(rest))}\n")
        return USAGE
    return _answered(given, rest)


def _answered(given: argparse.Namespace, rest: list[str]) -> int:
    try:
        return _COMMANDS[given.command](given, rest)
    except UsageError as error:
        sys.stderr.write(f"nested-kvm {given.command}: {printable(error, 2000)}\n")
        return USAGE
    except BrokenPipeError:
        # The reader of the pipe is gone; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _audit(words: list[str]) -> int:
    from nested_kvm.plugin.installed import run_audit  # noqa: PLC0415 - the other commands need no pytest

    status = run_audit(words)
    if status == USAGE:
        _suggest(words)
    return status


def _suggest(words: list[str]) -> None:
    """Name the option of ours that was meant by one that is nearly written so."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    known = audit_options()
    for word in words:
        name = word.partition("=")[0]
        meant = get_close_matches(name, known, 1, 0.8) if name.startswith("--") and name not in known else []
        if meant:
            sys.stderr.write(f"{printable(name)}: did you mean {meant[0]}?\n")


def _merge(given: argparse.Namespace, rest: list[str]) -> int:
    return _audit([*(f"--merge={run}" for run in given.runs), *rest])


def _candidate(given: argparse.Namespace, _rest: list[str]) -> int:
    known = {name: getattr(given, name) for name in ("evidence", "inventory", "hosts")}
    if any(known.values()):
        if given.guest or given.skip_others or given.allow_unknown or given.json:
            raise UsageError("--guest, --skip-others, --allow-unknown and --json are for files alone, without hosts")
        hosts = [f"--{name}={value}" for name, value in known.items() if value]
        policy = [f"--nested={given.nested}"] if given.nested else []
        active = ["--active"] if given.active else []
        return _audit(["--gate", *policy, *hosts, *active, *(f"--candidate={path}" for path in given.files)])
    if given.active:
        raise UsageError("--active asks hosts: name them with --inventory or --hosts")
    from nested_kvm.command.candidate import of_files  # noqa: PLC0415 - as above

    return of_files(given)


def _import_answers(given: argparse.Namespace, rest: list[str]) -> int:
    from nested_kvm.evidence.import_answers import main as import_answers  # noqa: PLC0415 - as above

    return import_answers([*rest, *given.rest])


def _doctor(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.doctor import doctor  # noqa: PLC0415 - each command imports what it needs

    return doctor(as_json=given.json)


def _explain(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.explain import explain  # noqa: PLC0415 - as above

    return explain(" ".join(given.words))


def _init(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.init import init  # noqa: PLC0415 - as above

    return init(given.folder)


def _probe(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.evidence.probe import probe_with  # noqa: PLC0415 - as above

    sys.stdout.write(probe_with(given.arguments))
    return 0


def _schema(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.schema import schema  # noqa: PLC0415 - as above

    sys.stdout.write(schema(given.of))
    return 0


def _validate(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.validate import validate  # noqa: PLC0415 - as above

    return validate(given.kind, given.files)


def _verify(given: argparse.Namespace, _rest: list[str]) -> int:
    from nested_kvm.command.verify import verify  # noqa: PLC0415 - as above
    from nested_kvm.plugin.duration import parse_duration  # noqa: PLC0415 - as above

    limit = None if given.max_age is None else parse_duration("--max-age", given.max_age)
    return verify(given.folder, given.allowed_signers, limit)


def _completion(given: argparse.Namespace, _rest: list[str]) -> int:
    import argcomplete  # noqa: PLC0415 - the other commands need none of it

    sys.stdout.write(argcomplete.shellcode(["nested-kvm"], shell=given.shell))  # type: ignore[attr-defined]  # public
    return 0


_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, list[str]], int]]] = {
    "merge": _merge,
    "candidate": _candidate,
    "doctor": _doctor,
    "explain": _explain,
    "init": _init,
    "probe": _probe,
    "import-answers": _import_answers,
    "schema": _schema,
    "validate": _validate,
    "verify": _verify,
    "completion": _completion,
}
