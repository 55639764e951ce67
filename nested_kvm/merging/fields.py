"""The words of another run's `results.json`: what each may be, and what becomes of it."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.results.reader import ROW_LIMIT

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CAUSES: Final = {cause.code: cause for cause in Cause}
_CONTROL: Final = re.compile(r"(L0|DOM|L1|PAIR)(-[A-Z0-9]+)+|SITE-[\w.-]+")


def _time(text: object) -> datetime:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError("is no time of the form 2026-01-31T23:59:59Z")
    return datetime.fromisoformat(text).astimezone(UTC)


def _day(text: object) -> date:
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ValueError("is no day of the form 2026-01-31")
    return date.fromisoformat(text)


def _severity(word: object) -> Severity:
    if not isinstance(word, str) or word not in {str(each) for each in Severity}:
        raise ValueError("is no severity")
    return Severity[word.upper()]


def _cause(code: object) -> Cause:
    if not isinstance(code, str) or code not in _CAUSES:
        raise ValueError("is no cause that this version knows")
    return _CAUSES[code]


def _control(text: object) -> object:
    if not isinstance(text, str) or not _CONTROL.fullmatch(text):
        raise ValueError("is no control")
    return text


def _line(text: object) -> object:
    if isinstance(text, str) and not text.isprintable():
        raise ValueError("is not printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=1000)]
Sentence = Annotated[str, Field(min_length=1, max_length=ROW_LIMIT)]
"""May quote what a target said."""
Line = Annotated[str, Field(min_length=1, max_length=4000), BeforeValidator(_line)]
ControlId = Annotated[str, Field(max_length=300), BeforeValidator(_control)]
Time = Annotated[datetime, BeforeValidator(_time)]
Grade = Annotated[Severity, BeforeValidator(_severity)]
Why = Annotated[Cause, BeforeValidator(_cause)]
Number = Annotated[int, Field(ge=0, le=2**53)]
Day = Annotated[date, BeforeValidator(_day)]
Word: Final = Field(strict=False)
"""For words of which an enumeration is made."""
