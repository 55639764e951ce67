"""`junit.xml`: every result as a test case of its target, for CI."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from functools import lru_cache
from itertools import starmap
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.lines import properties, waived_because
from nested_kvm.reporting.problem_text import cause_line, problem_properties
from nested_kvm.reporting.result_text import log_of
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import printable
from nested_kvm.util.times import iso_time

_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference: section 2.2."""
_REPEATED: Final = 1000
"""Letters of an attribute that is remembered."""
_SKIPPED: Final = (Outcome.UNKNOWN, Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED)


def junit_xml(run: Run) -> Iterator[str]:
    """Return the text, piece by piece: a fail is a failure, an error an error; the waived and unknown are skipped."""
    yield '<?xml version="1.0" encoding="utf-8"?>\n'
    yield f'<testsuites name="nested-kvm-compliance">\n<testsuite name="nested-kvm-compliance"{_counts(run)}>\n'
    if not run.is_whole:
        yield f'<testcase classname="run" name="complete">\n{_element("error", run.shortfall)}</testcase>\n'
    observed = {each.name: iso_time(each.observed_at) for each in run.targets if each.observed_at is not None}
    for result in run.results.sorted_by_target():
        yield _case(run, result, observed.get(result.target))
    yield "</testsuite>\n</testsuites>\n"


def _counts(run: Run) -> str:
    waived = len(run.waived())
    return _attributes(
        {
            "tests": str(len(run.results) + (not run.is_whole)),
            "failures": str(run.count(Outcome.FAIL) - waived),
            "errors": str(run.count(Outcome.ERROR) + (not run.is_whole)),
            "skipped": str(sum(run.count(each) for each in _SKIPPED) + waived),
            "time": "0" if run.finished is None else f"{(run.finished - run.started).total_seconds():.3f}",
            "timestamp": run.started.astimezone(UTC).isoformat(timespec="seconds"),
        }
    )


def _case(run: Run, result: Result, observed: str | None) -> str:
    subject = "" if result.subject == result.target else f" {printable(result.subject)}"
    known = properties(result) | problem_properties(run, result) | ({} if observed is None else {"observed": observed})
    names = {"classname": printable(result.target), "name": f"{result.control}{subject}"}
    told = "".join(starmap(_property, known.items()))
    outcome = _outcome(result, cause_line(run, result))
    return f"<testcase{_attributes(names)}>\n<properties>{told}</properties>\n{outcome}</testcase>\n"


def _outcome(result: Result, cause: str) -> str:
    if result.waiver is not None:
        return _element("skipped", waived_because(result.waiver), type="pytest.xfail")
    if result.outcome is Outcome.FAIL:
        return _element("failure", _sentence(result, cause), log_of(result))
    if result.outcome is Outcome.ERROR:
        return _element("error", _sentence(result, ""), log_of(result))
    if result.outcome in _SKIPPED:
        return _element("skipped", f"{result.outcome.value}: {printable(result.message)}", type="pytest.skip")
    return ""


def _sentence(result: Result, cause: str) -> str:
    """The problem before the symptom."""
    message = printable(result.message, 1000)
    return f"{result.control} {printable(result.subject)}: {f'{cause}: ' if cause else ''}{message}"


def _element(name: str, message: str, text: str = "", **more: str) -> str:
    return f"<{name}{_attributes(more | {'message': message})}>{escape(_legal(text))}</{name}>\n"


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(starmap(_attribute, values.items()))


def _attribute(name: str, value: str) -> str:
    return _repeated(name, value) if len(value) <= _REPEATED else _quoted(name, value)


@lru_cache(maxsize=4096)
def _repeated(name: str, value: str) -> str:
    """A quoted attribute, made once for the many results that have a target, a control or a message in common."""
    return _quoted(name, value)


def _quoted(name: str, value: str) -> str:
    return f" {name}={quoteattr(_legal(value))}"


@lru_cache(maxsize=4096)
def _property(name: str, value: str) -> str:
    """A property; few are of one result alone."""
    return f"<property{_attribute('name', name)}{_attribute('value', value)}/>"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)
