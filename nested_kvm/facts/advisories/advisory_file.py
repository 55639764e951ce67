"""Reads advisory files; errors name file, line and key.

`python -m nested_kvm.facts.advisories.advisory_file > nested_kvm/schema/advisories-1.schema.json` writes their schema.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from nested_kvm.errors import UsageError
from nested_kvm.model.advisory import Advisories, Advisory, CpuVendor, Effect, VendorFix
from nested_kvm.util.described_schema import DescribedSchema
from nested_kvm.util.kernel_version import KernelVersion, release_numbers
from nested_kvm.util.text import printable
from nested_kvm.util.yaml_file import YamlFile, read_yaml

PACKAGED: Final = Path(__file__).with_name("advisories.yaml")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SERIES: Final = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}", re.ASCII)
_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,20}(?:-[A-Za-z0-9]{1,40}){1,4}", re.ASCII)


def _line(text: str) -> str:
    if not text.strip() or text != printable(text, 500):
        raise ValueError("needs one line of up to 500 visible characters")
    return text


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{printable(text, 40)!r} is not an id of the form CVE-2026-12345")
    return text


def _version(given: object) -> object:
    # 6.10 without quotes is YAML's number 6.1.
    if not isinstance(given, str):
        raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError
            f"{printable(given, 40)} is not a text: write the version in quotes"
        )
    found = KernelVersion.parse(given)
    if found is None:
        raise ValueError(f"{printable(given, 40)!r} is not an upstream version of the form 6.1.177")
    return found


def _series(given: object) -> object:
    if not isinstance(given, str) or not _SERIES.fullmatch(given):
        raise ValueError(f'{printable(given, 40)!r} is not a series of the form "6.1", in quotes')
    return given


def _release(given: object) -> object:
    if not isinstance(given, str) or not release_numbers(given) or not re.fullmatch(r"[0-9.-]+", given):
        raise ValueError(f"{printable(given, 40)!r} is not the numbers of a release of the form 5.14.0-687.24.1")
    return given


def _date(given: object) -> object:
    if not isinstance(given, str) or not _DATE.fullmatch(given):
        raise ValueError(f"{printable(given, 40)!r} is not a date (use YYYY-MM-DD)")
    try:
        found = date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{given!r} is not a date: there is no such day") from None
    if found > datetime.now(UTC).date():
        raise ValueError(f"{given} is in the future: data cannot be newer than today")
    return found


_TEXT: Final = WithJsonSchema({"type": "string"})
Line = Annotated[str, AfterValidator(_line)]
Version = Annotated[KernelVersion, BeforeValidator(_version), _TEXT]
Series = Annotated[str, BeforeValidator(_series)]
Release = Annotated[str, BeforeValidator(_release)]
Day = Annotated[date, BeforeValidator(_date)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


class VendorSection(_Section):
    """One entry of `vendors:`: the first fixed kernel of a stream."""

    distributions: Annotated[list[Line], Field(min_length=1)]
    """`ID` of os-release."""
    stream: Line
    """A glob pattern of `uname -r`: only these releases are compared."""
    fixed: Release
    """The numbers of the first fixed release."""
    source: Line

    def fix(self) -> VendorFix:
        """Return the entry."""
        numbers = release_numbers(self.fixed)
        return VendorFix(tuple(self.distributions), self.stream, numbers, self.fixed, self.source)


class AdvisorySection(_Section):
    """One entry of `advisories:`."""

    id: Annotated[str, AfterValidator(_id)]
    name: Line | None = None
    title: Line
    """The subject of the upstream patch."""
    effect: Effect
    needs_nesting: bool
    """Whether only a guest that can nest reaches it, while EPT or NPT is on."""
    vendor: CpuVendor
    affected_since: Version
    fixed: list[Version]
    """The first fixed upstream release of each stable series."""
    mainline: Version
    """The first upstream series with the fix."""
    unsettled: list[Series] = Field(default_factory=list)
    """Series of which the sources do not decide."""
    published: Day
    """When the fix was published."""
    vendors: list[VendorSection] = Field(default_factory=list)
    sources: Annotated[list[Line], Field(min_length=1)]

    def advisory(self) -> Advisory:
        """Return the entry."""
        return Advisory(
            id=self.id,
            title=self.title,
            name=self.name,
            effect=self.effect,
            needs_nesting=self.needs_nesting,
            vendor=self.vendor,
            affected_since=self.affected_since,
            fixed={each.series: each for each in self.fixed},
            mainline=self.mainline,
            unsettled=frozenset((int(major), int(minor)) for major, minor in (e.split(".") for e in self.unsettled)),
            published=self.published,
            vendors=tuple(each.fix() for each in self.vendors),
            sources=tuple(self.sources),
        )


class AdvisoryFile(_Section):
    """The whole file."""

    dated: Day
    """The day on which it was compiled."""
    advisories: Annotated[list[AdvisorySection], Field(min_length=1)]


@cache
def packaged_advisories() -> Advisories:
    """The advisories that come with this version."""
    return _load(PACKAGED, "the packaged advisories")


def load_advisories(path: Path) -> Advisories:
    """The packaged advisories with those of a file, which replace entries of the same id.

    Raises:
        UsageError: the file cannot be read or used; the message names file, line and key.
    """
    packaged, given = packaged_advisories(), _load(path, str(path))
    entries = {each.id: each for each in (*packaged.entries, *given.entries)}
    return Advisories(tuple(entries.values()), max(packaged.dated, given.dated), f"{packaged.source} and {path}")


def _load(path: Path, source: str) -> Advisories:
    yaml = read_yaml(path, UsageError)
    try:
        file = AdvisoryFile.model_validate(yaml.document)
    except ValidationError as error:
        raise UsageError(yaml.explain(error, "no advisory is known", _known_keys)) from None
    _refuse_contradictions(yaml, file)
    return Advisories(tuple(each.advisory() for each in file.advisories), file.dated, source)


def _refuse_contradictions(yaml: YamlFile, file: AdvisoryFile) -> None:
    seen: set[str] = set()
    for number, each in enumerate(file.advisories):
        place = f"{yaml.path}:{yaml.line(['advisories', number])}: {each.id}"
        series = [version.series for version in each.fixed]
        if each.id in seen:
            raise UsageError(f"{place}: is there twice")
        if len(series) != len(set(series)):
            raise UsageError(f"{place}: fixed: names two releases of one series")
        if any(version < each.affected_since for version in (*each.fixed, each.mainline)):
            raise UsageError(f"{place}: fixed: a release before {each.affected_since}, with which the fault begins")
        whole = [version for version in each.fixed if version.series >= each.mainline.series]
        if whole:
            raise UsageError(f"{place}: fixed: names {whole[0]}, and {each.mainline} had the fix from its beginning")
        open_too = [given for given in each.unsettled if tuple(map(int, given.split("."))) in series]
        if open_too:
            raise UsageError(f"{place}: unsettled: names {open_too[0]}, of which a release is in `fixed`")
        seen.add(each.id)


def _known_keys(place: Sequence[int | str]) -> Iterable[str]:
    match tuple(place):
        case ():
            return AdvisoryFile.model_fields
        case ("advisories", _):
            return AdvisorySection.model_fields
        case ("advisories", _, "vendors", _):
            return VendorSection.model_fields
        case _:
            return ()


def advisories_schema() -> dict[str, Any]:
    """The JSON Schema of an advisory file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **AdvisoryFile.model_json_schema(schema_generator=DescribedSchema),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(advisories_schema(), indent=2) + "\n")
