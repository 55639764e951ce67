"""Results on disk: those of several runs, in no more memory than the findings take."""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from nested_kvm.errors import UsageError
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import Result
from nested_kvm.results.waiver import Waiver

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -16384;
CREATE TABLE results (
    target TEXT NOT NULL, subject TEXT NOT NULL, control TEXT NOT NULL,
    outcome TEXT NOT NULL, severity INTEGER NOT NULL, rest TEXT NOT NULL
);
CREATE TABLE titles (control TEXT PRIMARY KEY, title TEXT NOT NULL) WITHOUT ROWID;
"""
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS by_place ON results (target, subject, control);
CREATE INDEX IF NOT EXISTS by_control ON results (control, target, subject);
CREATE INDEX IF NOT EXISTS by_outcome ON results (outcome, severity DESC, target, control, subject);
"""
_COLUMNS: Final = "target, subject, control, outcome, severity, rest"
_CACHED: Final = 4096
"""Texts that are kept in memory once, however many results share them."""


class StoredResults:
    """Implements `Results` with a private database that is gone when the process ends, however it ends.

    Raises:
        UsageError: the database cannot be created.
    """

    def __init__(self) -> None:
        folder = Path(mkdtemp(prefix="nested-kvm-merge-"))
        self._place = folder.parent
        try:
            with self._as_usage_error():
                self._database = sqlite3.connect(folder / "results.sqlite", isolation_level=None)
                self._database.executescript(_SCHEMA)
                self._database.execute("BEGIN")
        finally:
            # The file stays until it is closed, and has no name under which a process that is killed would leave it.
            shutil.rmtree(folder)
        self._counts = dict.fromkeys(Outcome, 0)
        self._ended: dict[Outcome, tuple[Result, ...]] = {}

    def close(self) -> None:
        """Close the database, which frees its space."""
        self._database.close()

    def add(self, result: Result) -> None:
        """Add one result.

        Raises:
            UsageError: the disk is full.
            Unusable: a text has a lone surrogate, which no file can hold.
        """
        row = (result.target, result.subject, result.control, result.outcome.value, int(result.severity), _rest(result))
        with self._as_usage_error():
            self._database.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", row)
            self._database.execute("INSERT OR REPLACE INTO titles VALUES (?, ?)", (result.control, result.title))
        self._counts[result.outcome] += 1

    def seal(self) -> None:
        """Index the results for reading: no more are added.

        Raises:
            UsageError: the disk is full.
        """
        with self._as_usage_error():
            self._database.executescript(_INDEXES)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def sorted_by_target(self) -> Iterator[Result]:
        """See `Results`."""
        return self._in_order("target, subject, control")

    def of_target(self, name: str) -> Sequence[Result]:
        """See `Results`."""
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM results WHERE target = ? ORDER BY subject, control, rowid",  # noqa: S608 - words of this file
            (name,),
        )
        return tuple(map(_result, found))

    def by_control(self) -> Iterator[Result]:
        """See `Results`."""
        return self._in_order("control, target, subject")

    def with_outcome(self, outcome: Outcome) -> Sequence[Result]:
        """See `Results`. Cached, as every report asks for them."""
        if outcome not in self._ended:
            order = "ORDER BY severity DESC, target, control, subject, rowid"
            found = self._database.execute(
                f"SELECT {_COLUMNS} FROM results WHERE outcome = ? {order}",  # noqa: S608 - words of this file
                (outcome.value,),
            )
            self._ended[outcome] = tuple(map(_result, found))
        return self._ended[outcome]

    def count(self, outcome: Outcome) -> int:
        """See `Results`."""
        return self._counts[outcome]

    def titles(self) -> Mapping[str, str]:
        """See `Results`."""
        return dict(self._database.execute("SELECT control, title FROM titles"))

    def _in_order(self, columns: str) -> Iterator[Result]:
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM results ORDER BY {columns}, rowid"  # noqa: S608 - words of this file
        )
        return map(_result, found)

    @contextmanager
    def _as_usage_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UsageError(
                f"--merge: results cannot be kept in {self._place}: {error}: make room there, or name another "
                "directory by TMPDIR"
            ) from None


def _rest(result: Result) -> str:
    waiver = result.waiver
    return json.dumps(
        [
            result.title,
            result.message,
            None if result.cause is None else result.cause.code,
            [[item.source, item.text] for item in result.evidence],
            list(result.remediation),
            None if waiver is None else _written(waiver),
            result.drift,
            result.decides,
            result.check,
        ]
    )


def _result(row: tuple[Any, ...]) -> Result:
    target, subject, control, outcome, severity, rest = row
    title, message, cause, evidence, remediation, waiver, drift, decides, check = json.loads(rest)
    return Result(
        _same(control),
        _same(target),
        _same(subject),
        _OUTCOMES[outcome],
        _SEVERITIES[severity],
        _same(title),
        _same(message),
        _CAUSES[cause],
        tuple(Evidence(_same(source), _same(text)) for source, text in evidence),
        tuple(map(_same, remediation)),
        waiver=None if waiver is None else _read(waiver),
        drift=_DRIFTS[drift],
        decides=decides,
        check=check,
    )


def _written(waiver: Waiver) -> str:
    expires = None if waiver.expires is None else waiver.expires.isoformat()
    words = (waiver.control, waiver.target, waiver.subject, waiver.reason, waiver.approver, expires, waiver.source)
    return json.dumps((*words, waiver.cause, waiver.accepts_unknown, waiver.until_fixed, waiver.advisories))


@lru_cache(_CACHED)
def _read(written: str) -> Waiver:
    control, target, subject, reason, approver, expires, source, cause, unknown, fixed, named = json.loads(written)
    ends = None if expires is None else date.fromisoformat(expires)
    advisories = None if named is None else tuple(named)
    return Waiver(control, target, subject, reason, approver, ends, source, cause, unknown, fixed, advisories)


@lru_cache(_CACHED)
def _same(text: str) -> str:
    return text


_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}
_SEVERITIES: Final = {int(severity): severity for severity in Severity}
_CAUSES: Final[Mapping[str | None, Cause | None]] = {None: None, **{cause.code: cause for cause in Cause}}
_DRIFTS: Final[Mapping[str | None, Drift | None]] = {None: None, **{drift.value: drift for drift in Drift}}
