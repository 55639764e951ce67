"""Reads a waiver file; errors name file, line and key."""

import re
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import ValidationInfo as Info

from nested_kvm.errors import UsageError
from nested_kvm.model.cause import Cause
from nested_kvm.results.waiver import Waiver
from nested_kvm.util.empty_keys import WithoutEmptyKeys
from nested_kvm.util.text import printable
from nested_kvm.util.yaml_file import read_yaml

TEXT_LIMIT = 2000
_CAUSES: Final = frozenset(cause.code for cause in Cause)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _one_line(text: str) -> str:
    line = printable(text, TEXT_LIMIT)
    if not line:
        raise ValueError("is empty: a waiver needs an approver and a reason")
    return line


def _pattern(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("is not a valid pattern: it needs a visible character, and must not have control characters")
    return text


def _date(given: object) -> object:
    """Accept a day only: pydantic itself would also take a number of seconds."""
    if not isinstance(given, str) or not _DATE.fullmatch(given):
        raise ValueError(f"{printable(given, 40)!r} is not a date (use YYYY-MM-DD)")
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{given!r} is not a date: there is no such day") from None


Text = Annotated[str, AfterValidator(_one_line)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class _Section(WithoutEmptyKeys):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WaiverSection(_Section):
    """One entry of `waivers:`."""

    may_be_empty = frozenset({"expires"})
    control: Pattern
    target: Pattern
    subject: Pattern | None = None
    reason: Text
    approver: Text
    permanent: StrictBool = False
    until: Literal["fixed"] | None = None
    expires: Annotated[date, BeforeValidator(_date)] | None = Field(None, validate_default=True)
    cause: str | None = None
    accepts: Literal["unknown"] | None = None
    advisories: Annotated[list[Text], Field(min_length=1)] | None = None

    @field_validator("expires", mode="after")
    @classmethod
    def _has_one_end(cls, expires: date | None, info: Info) -> date | None:
        if not {"permanent", "until"} <= info.data.keys():  # which is a separate error
            return expires
        permanent, until = info.data["permanent"], info.data["until"]
        if expires is None and not permanent and until is None:
            raise ValueError("is missing: write the last day on which it holds, `until: fixed`, or `permanent: true`")
        if permanent and (expires is not None or until is not None):
            raise ValueError("contradicts `permanent: true`: keep one of them")
        return expires

    @model_validator(mode="after")
    def _has_no_empty_end(self) -> Self:
        if self.expires is None and "expires" in self.model_fields_set:
            raise ValueError("`expires` is empty: write the last day on which it holds, or leave it out")
        return self

    @field_validator("cause", mode="after")
    @classmethod
    def _is_known(cls, cause: str | None) -> str | None:
        if cause is not None and cause not in _CAUSES:
            close = get_close_matches(cause, _CAUSES, n=1)
            hint = f": did you mean {close[0]}?" if close else ": docs/controls.md lists the causes of each control"
            raise ValueError(f"{printable(cause, 60)!r} is not a known cause{hint}")
        return cause

    @field_validator("accepts", mode="after")
    @classmethod
    def _ends(cls, accepts: str | None, info: Info) -> str | None:
        if accepts is not None and info.data.get("expires") is None and "expires" in info.data:
            raise ValueError("needs an end: an unknown is accepted until a date, so write `expires`")
        if accepts is not None and info.data.get("cause") is not None:
            raise ValueError("contradicts `cause`: an unknown has no cause")
        return accepts

    @field_validator("advisories", mode="after")
    @classmethod
    def _are_of_findings(cls, advisories: list[str] | None, info: Info) -> list[str] | None:
        if advisories is not None and info.data.get("accepts") is not None:
            raise ValueError("contradicts `accepts: unknown`: of an unknown it is not known what is open")
        return advisories


class WaiverFile(_Section):
    """The whole file."""

    waivers: list[WaiverSection]


def load_waivers(path: Path) -> list[Waiver]:
    """Read and validate a waiver file.

    Raises:
        UsageError: it cannot be read or used; the message names file, line and key.
    """
    yaml = read_yaml(path, UsageError)
    try:
        file = WaiverFile.model_validate(yaml.document)
    except ValidationError as error:
        raise UsageError(yaml.explain(error, "nothing is waived")) from None
    return [_waiver(section, f"{path}:{yaml.line(['waivers', number])}") for number, section in enumerate(file.waivers)]


def _waiver(section: WaiverSection, source: str) -> Waiver:
    return Waiver(
        section.control,
        section.target,
        section.subject,
        section.reason,
        section.approver,
        section.expires,
        source,
        section.cause,
        section.accepts == "unknown",
        section.until == "fixed",
        None if section.advisories is None else tuple(section.advisories),
    )
