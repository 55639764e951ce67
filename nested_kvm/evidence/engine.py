"""Reads the probe's answers as another engine stored them: Salt's JSON, Ansible's, or plain files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nested_kvm.errors import AnswerUnusable, ConnectionFailed, FileUnusable, ObservationError, UsageError
from nested_kvm.util.files import read_bounded
from nested_kvm.util.text import printable

SIZE_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes: the answers of ten thousand targets, several times over."""

Answers = Mapping[str, bytes | ObservationError]
"""By the engine's name of a target: the output of the probe, or why there is none."""


def answers_of_salt(data: bytes) -> Answers:
    """Parse `salt --out=json … cmd.run_stdout`, with `--static` (one document) or without (one per minion).

    Raises:
        UsageError: it is not such output.
    """
    found: dict[str, bytes | ObservationError] = {}
    for document in _documents(data):
        for name, value in document.items():
            if name in found:
                raise UsageError(f"{printable(name)} answered twice")
            found[name] = _of_salt(value)
    return found


def answers_of_ansible(path: Path) -> Answers:
    """Parse Ansible's results: the directory of `ansible --tree`, or the output of its json callback.

    Raises:
        UsageError: it is neither of them.
    """
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file())
        return {each.name: _of_tree(each) for each in files}
    found: dict[str, bytes | ObservationError] = {}
    for document in _documents(read_whole(path)):
        for name, result in _results_of_callback(document):
            if name in found:
                raise UsageError(f"{printable(name)} answered twice: run the probe alone")
            found[name] = _of_ansible(result)
    return found


def answers_of_files(path: Path) -> Answers:
    """Read a directory in which each file is named for its target, and holds the output of the probe.

    Raises:
        UsageError: it is not a directory, or a file cannot be read.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory of answers")
    return {each.name: read_whole(each) for each in sorted(path.iterdir()) if each.is_file()}


def read_whole(path: Path) -> bytes:
    """Read a file, or standard input for `-`.

    Raises:
        UsageError: it cannot be read, or is larger than any answer.
    """
    source = Path("/dev/stdin") if str(path) == "-" else path
    try:
        return read_bounded(source, SIZE_LIMIT, regular=False)  # a pipe from the engine is usual
    except FileUnusable as error:
        raise UsageError(f"{path}: {error}") from None


def _documents(data: bytes, name: str = "the answers") -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text. Bytes that are not UTF-8 are kept, as Ansible does."""
    text = data.decode("utf-8", "surrogateescape").strip()
    decoder = json.JSONDecoder(strict=False)
    position = 0
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            raise UsageError(
                f"{name}: invalid JSON at character {position}: {printable(text[position:], 60)!r}"
            ) from None
        if not isinstance(document, dict):
            raise UsageError(f"{name}: a JSON object was expected at character {position}")
        yield document
        position += len(text[position:]) - len(text[position:].lstrip())
    if not text:
        raise UsageError(f"{name}: empty")


def _of_salt(value: Any) -> bytes | ObservationError:
    answer = value.get("ret") if isinstance(value, dict) else value
    if isinstance(answer, str):
        return _bytes(answer)
    return ConnectionFailed(f"Salt has no answer from it: {printable(json.dumps(answer))}")


def _results_of_callback(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tasks = [task for play in document["plays"] for task in play["tasks"]]
        for task in tasks:
            yield from task["hosts"].items()
    except (KeyError, TypeError, AttributeError):
        raise UsageError("the answers: not the output of Ansible's json callback") from None


def _of_tree(path: Path) -> bytes | ObservationError:
    """Read one host's file; a broken one is an error of that host alone."""
    try:
        documents = list(_documents(read_whole(path), path.name))
    except UsageError as error:
        return AnswerUnusable(str(error))
    return _of_ansible(documents[0])


def _of_ansible(result: object) -> bytes | ObservationError:
    if not isinstance(result, dict):
        return AnswerUnusable("Ansible's result is not an object")
    answer = result.get("stdout")
    if isinstance(answer, str) and not result.get("unreachable"):
        return _bytes(answer)
    reason = printable(result.get("msg") or "it has no stdout")
    kind = ConnectionFailed if result.get("unreachable") else AnswerUnusable
    return kind(f"Ansible has no answer from it: {reason}")


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
