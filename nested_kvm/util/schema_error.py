"""Why data breaks a schema, as pydantic found it: one line for each problem, with its place."""

from collections.abc import Iterator

from pydantic import ValidationError

from nested_kvm.util.text import printable


def problems(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Return each problem: its place as a path of keys and indexes, pydantic's word for its kind, and the reason."""
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        yield problem["loc"], problem["type"], problem["msg"].removeprefix("Value error, ")


def explain(error: ValidationError) -> list[str]:
    """Return a line for each: `hosts.kvm-a.level: Input should be …`; a problem of the whole has no place."""
    return [f"{place}: {reason}" if (place := dotted(location)) else reason for location, _, reason in problems(error)]


def explain_first(error: ValidationError) -> str:
    """Return the line of the first problem, safe to print."""
    return printable(explain(error)[0])


def dotted(location: tuple[int | str, ...]) -> str:
    """Return a place as dotted keys; `[key]`, pydantic's mark for a mapping's key, is left out."""
    return ".".join(str(part) for part in location if part != "[key]")
