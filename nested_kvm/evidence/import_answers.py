"""Make evidence from an engine's answers: `python -m nested_kvm.evidence.import_answers`. See docs/engines.md."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from nested_kvm.errors import LimitExceeded, NotObserved, ObservationError, UsageError
from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.bundle_file import evidence_path, unusable_bundle, write_bundle
from nested_kvm.evidence.engine import Answers, answers_of_ansible, answers_of_files, answers_of_salt, read_whole
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh
from nested_kvm.evidence.observe import bundle_of_answer
from nested_kvm.evidence.probe.answer import parse_answer_of_any_nonce
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.ansible import load_ansible_inventory
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.schema import Name
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.files import given_path
from nested_kvm.util.schema_error import explain_first
from nested_kvm.util.text import plural, printable

ANSWER_LIMIT: Final = 4 * 1024 * 1024
"""Bytes: the limit of one target's answer in a direct run."""
_ENGINES: Final[dict[str, Callable[[Path], Answers]]] = {
    "salt": lambda path: answers_of_salt(read_whole(path)),
    "ansible": answers_of_ansible,
    "files": answers_of_files,
}
_ALL_IMPORTED: Final = 0
_USAGE: Final = 4
_NOT_ALL: Final = 6


def import_answers(answers: Answers, inventory: Inventory | None, collected_at: datetime) -> Iterator[Bundle]:
    """Make a bundle of each answer; and a bundle with a failure for each target without one."""
    targets = _without_inventory(answers) if inventory is None else inventory.targets
    for target in targets:
        answer = answers.get(_name_among(answers, target))
        if answer is None:
            yield _unanswered(target)
        else:
            yield _bundle(target, answer, collected_at)


def _without_inventory(answers: Answers) -> Sequence[Target]:
    try:
        names = TypeAdapter(list[Name]).validate_python(list(answers))
    except ValidationError as error:
        raise UsageError(f"a target's name: {explain_first(error)}") from None
    policy = Policy()
    return [
        Target(name, TargetLevel.AUTO, Address(name, "ssh", name), policy, libvirt="qemu:///system") for name in names
    ]


def _name_among(answers: Answers, target: Target) -> str:
    """Return the engine's name of a target: its name, else its address, as a minion's id is often the host name."""
    if target.name in answers or target.address is None or not target.address.host:
        return target.name
    return target.address.host


def _unanswered(target: Target) -> Bundle:
    problem = NotObserved(f"{target.name}: the engine has no answer from it")
    bundle = unusable_bundle(target, problem)
    return bundle if target.address is not None else Bundle(target, bundle.observed_at, bundle.version)


def _bundle(target: Target, answer: bytes | ObservationError, collected_at: datetime) -> Bundle:
    try:
        if isinstance(answer, ObservationError):
            raise answer
        if len(answer) > ANSWER_LIMIT:
            raise LimitExceeded(f"its answer is larger than {ANSWER_LIMIT // 1024 // 1024} MiB")
        parsed = parse_answer_of_any_nonce(answer)
    except ObservationError as error:
        return unusable_bundle(target, error, f"{target.name}: {error}")

    def ask(uri: str) -> LibvirtAnswer:
        missing = f"the engine's probe did not query virsh for {uri}: run it with `always` and the URI"
        return answer_of_virsh(parsed.readings, uri) or LibvirtAnswer(uri, "virsh", not_asked=missing)

    return bundle_of_answer(target, parsed, collected_at, ask)


def main(words: Sequence[str] | None = None) -> int:
    """Write the evidence, report what is missing, and return the exit status."""
    try:
        given = _arguments(words)
    except SystemExit as ended:
        return _USAGE if ended.code else 0
    try:
        answers = _ENGINES[given.engine](given.answers)
        inventory = _inventory(given)
        bundles = list(import_answers(answers, inventory, _collected_at(given.answers)))
        _refuse_nothing(answers, bundles)
        kept = [bundle for bundle in bundles if _keep(given.to, bundle)]
    except UsageError as error:
        sys.stderr.write("".join(f"{printable(line, 2000)}\n" for line in str(error).splitlines()))
        return _USAGE
    _report(answers, inventory, kept)
    return _NOT_ALL if any(bundle.failure is not None for bundle in kept) else _ALL_IMPORTED


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "nested-kvm import-answers", description="Make evidence of what an engine collected."
    )
    parser.add_argument(
        "--from", dest="engine", choices=list(_ENGINES), required=True, help="the engine that collected the answers"
    )
    parser.add_argument(
        "--to", type=given_path, required=True, metavar="DIR", help="the directory for the evidence files"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--inventory", type=given_path, metavar="FILE", help="the fleet, in YAML")
    which.add_argument(
        "--ansible-inventory", type=given_path, metavar="FILE", help="the fleet, as an Ansible inventory"
    )
    parser.add_argument(
        "answers", type=given_path, metavar="ANSWERS", help="the engine's output: a file, a directory, or -"
    )
    return parser.parse_args(words)


def _inventory(given: argparse.Namespace) -> Inventory | None:
    if given.inventory is not None:
        return load_inventory(given.inventory)
    if given.ansible_inventory is not None:
        return load_ansible_inventory(given.ansible_inventory, [])[0]
    return None


def _collected_at(answers: Path) -> datetime:
    """Return when the engine stored the answers; from a pipe: now."""
    if str(answers) == "-":
        return datetime.now(UTC)
    return datetime.fromtimestamp(answers.stat().st_mtime, UTC)


def _refuse_nothing(answers: Answers, bundles: Sequence[Bundle]) -> None:
    if not answers:
        raise UsageError("the engine has no answers")
    if not bundles:
        raise UsageError("the inventory has no targets")


def _keep(folder: Path, bundle: Bundle) -> bool:
    """Write a bundle. One without readings replaces no other: guests may come from another engine than hosts."""
    path = evidence_path(folder, bundle.target.name)
    if not bundle.is_observed and path.exists():
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bundle(folder, bundle)
    except OSError as error:
        raise UsageError(f"--to: {error.filename or folder}: {error.strerror}") from None
    return True


def _report(answers: Answers, inventory: Inventory | None, kept: Sequence[Bundle]) -> None:
    for bundle in kept:
        if bundle.failure is not None:
            sys.stderr.write(f"{printable(bundle.failure.message, 500)}\n")
    if inventory is not None:
        known = {_name_among(answers, target) for target in inventory}
        for name in sorted(answers.keys() - known):
            sys.stderr.write(f"{printable(name)} is not in {printable(inventory.source)}: left out\n")
    observed = sum(bundle.is_observed for bundle in kept)
    sys.stdout.write(f"{plural(len(kept), 'evidence file')}, {observed} with an answer\n")


if __name__ == "__main__":
    sys.exit(main())
