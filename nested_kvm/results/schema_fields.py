"""The field types of `results.json`: what each may hold, and how it is read."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.results.reader import ROW_LIMIT
from nested_kvm.util.text import printable

_TIME: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CONTROL: Final = re.compile(r"(L0|DOM|L1|PAIR)(-[A-Z0-9]+)+|SITE-[\w.-]+")
_CAUSES: Final = {cause.code: cause for cause in Cause}
_CODE: Final = "^[a-z0-9]+(-[a-z0-9]+)*$"


def _time(text: object) -> datetime:
    if not isinstance(text, str) or not re.fullmatch(_TIME, text):
        raise ValueError("is not a time of the form 2026-01-31T23:59:59Z")
    return datetime.fromisoformat(text).astimezone(UTC)


def _date(text: object) -> date:
    if not isinstance(text, str) or not re.fullmatch(_DATE, text):
        raise ValueError("is not a date of the form 2026-01-31")
    return date.fromisoformat(text)


def _severity(word: object) -> Severity:
    if not isinstance(word, str) or word not in {str(each) for each in Severity}:
        raise ValueError("is not a valid severity")
    return Severity[word.upper()]


def _cause(code: object) -> Cause:
    if not isinstance(code, str) or code not in _CAUSES:
        raise ValueError("is not a cause that this version knows")
    return _CAUSES[code]


def _control(text: object) -> object:
    if not isinstance(text, str) or not _CONTROL.fullmatch(text):
        raise ValueError("is not a valid control id")
    return text


def _line(text: object) -> object:
    if isinstance(text, str) and not text.isprintable():
        raise ValueError("is not printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=1000)]
Sentence = Annotated[str, Field(min_length=1, max_length=ROW_LIMIT)]
"""May quote evidence of a target."""
Line = Annotated[str, Field(min_length=1, max_length=4000), BeforeValidator(_line)]
ControlId = Annotated[
    str,
    Field(max_length=300),
    BeforeValidator(_control),
    WithJsonSchema({"type": "string", "pattern": "^((L0|DOM|L1|PAIR)(-[A-Z0-9]+)+|SITE-.+)$"}),
]
TimeField = Annotated[
    datetime,
    BeforeValidator(_time),
    WithJsonSchema({"description": "UTC, to the second.", "type": "string", "pattern": f"^{_TIME}$"}),
]
DateField = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "pattern": f"^{_DATE}$"})]
SeverityField = Annotated[
    Severity, BeforeValidator(_severity), WithJsonSchema({"enum": [str(severity) for severity in Severity]})
]
CauseField = Annotated[
    Cause,
    BeforeValidator(_cause),
    WithJsonSchema({"description": "A code that programs match on.", "type": "string", "pattern": _CODE}),
]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256, in hexadecimal."""
CauseCode = Annotated[str, Field(max_length=300, pattern=_CODE)]
"""The code of a cause that this version need not know."""
Count = Annotated[int, Field(ge=0, le=2**53)]
EnumField: Final = Field(strict=False)
"""For a text of which a member of an enumeration is made."""


class Part(BaseModel):
    """One object of the document: no key more, and no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def first_problem(error: ValidationError, place: str = "") -> str:
    """Return the first problem of a document in one line: where it is, and what is wrong."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(filter(None, (place, *(str(each) for each in problem["loc"]))))
    message = problem["msg"].removeprefix("Value error, ")
    return f"{printable(where, 200)}: {printable(message)}" if where else printable(message)
