"""The summary on the terminal: the verdict first and last, problems and not symptoms between, on about one screen."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.layer import Layer
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Outcome
from nested_kvm.remediation.layers import expose_by
from nested_kvm.reporting.answer_text import answer_line, answers_line
from nested_kvm.reporting.gate import without
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.reporting.terminal_output import Screen
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Result, Run, Threshold
from tests.support.made_runs import ERROR, FAIL, WAIVER, run_of

LONG = replace(
    FAIL,
    message="the next load of kvm_amd is given nested=0 by /etc/modprobe.d/a-long-name-of-a-file.conf:12 and is off "
    * 2,
    remediation=("sed -i 's/nested=0/nested=1/' /etc/modprobe.d/a-long-name-of-a-file.conf && modprobe -r kvm_amd",),
)
IN_GUEST = replace(
    FAIL,
    control="L1-CPU-01",
    target="ci-1",
    subject="ci-1",
    message="0 of 1 vCPUs show svm",
    cause=Cause.FLAG_MISSING,
    evidence=(),
    remediation=("grep -cw svm /proc/cpuinfo",),
)
NOW_NO = NestingAnswer(
    target="kvm-a",
    level=TargetLevel.L0,
    host=None,
    nested=Nested.REQUIRED,
    now=Answer.YES,
    after_boot=Answer.NO,
    cause=Cause.PERSISTED_OFF,
    source="/lib/modprobe.d/99-x.conf:1",
)


def printed(run: Run, screen: Screen | None = None, *, verbose: bool = False) -> list[str]:
    lines: list[str] = []

    def write(line: str, **_markup: bool) -> None:
        lines.append(line)

    write_summary(run, write, threshold=Threshold(), report="r.html", screen=screen, verbose=verbose)
    return lines


def summary(*results: Result, width: int | None = None) -> list[str]:
    return printed(run_of(*results, status=1), Screen(width))


def test_prose_is_wrapped_between_words_on_a_terminal() -> None:
    lines = summary(LONG, width=80)
    prose = [line for line in lines if not line.lstrip().startswith("$")]
    assert max(map(len, prose)) <= 80
    assert " ".join(" ".join(lines).split()).count("/etc/modprobe.d/a-long-name-of-a-file.conf:12") == 2
    first = next(number for number, line in enumerate(lines) if line.startswith("  nested-off: the next load"))
    assert lines[first + 1].startswith("      ")


def test_a_command_stays_whole_so_that_it_can_be_copied() -> None:
    assert f"    $ {LONG.remediation[0]}" in summary(LONG, width=80)


def test_nothing_is_wrapped_where_there_is_no_terminal() -> None:
    assert f"  nested-off: {LONG.message.strip()}" in summary(LONG)


def test_verdict_and_counts_are_first_and_last_and_only_the_report_follows() -> None:
    lines = summary(FAIL)
    assert lines[0] == lines[-2] == "NOT COMPLIANT"
    assert lines[1] == lines[-3]
    assert lines[-1] == "report: r.html"


def test_between_them_nothing_is_printed_twice() -> None:
    lines = [line for line in summary(FAIL, IN_GUEST, ERROR)[2:-3] if line]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("layer", [None, *Layer])
def test_the_comments_of_a_remedy_lead_to_the_command_that_they_announce(layer: Layer | None) -> None:
    remedy = tuple(expose_by(layer, "svm"))
    lines = summary(replace(FAIL, remediation=remedy))
    assert remedy[-2].endswith("then verify here:")
    assert lines[lines.index(f"      {remedy[-2]}") + 1] == f"    $ {remedy[-1]}"


def test_a_consequence_is_one_word_in_its_problem_and_has_no_remedy() -> None:
    lines = summary(FAIL, IN_GUEST)
    assert "  also: L1-CPU-01 on ci-1" in lines
    assert [line for line in lines if "vCPUs" in line or "grep -cw svm" in line] == []
    assert "  holds back ci-1; frees ci-1" in lines


def test_verbose_prints_every_finding_with_its_evidence_commands_and_problem() -> None:
    lines = printed(run_of(FAIL, IN_GUEST, status=1), verbose=True)
    assert "    $ grep -cw svm /proc/cpuinfo" in lines
    assert [line for line in lines if line.endswith("follows from nested-off at kvm-a (L0-KVM-04)")]
    assert "  nested-off: " + Cause.NESTED_OFF.explanation in lines


def many(count: int) -> Iterator[Result]:
    for number in range(count):
        name = f"kvm-{number:03}"
        yield replace(FAIL, target=name, subject=name, message=f"no. {number}")


def test_problems_take_a_screen_at_most_and_the_rest_is_counted() -> None:
    lines = printed(run_of(*many(60), status=1), Screen(80, 24))
    assert len(lines) < 24 + 12
    assert [line for line in lines if "more problems: -v prints" in line]
    shown = sum("  L0-KVM-04  high" in line for line in lines)
    assert f"… and {60 - shown} more problems" in " ".join(lines)


def test_the_same_problem_of_many_targets_is_printed_once() -> None:
    alike = [replace(each, message="the same") for each in many(9)]
    lines = printed(run_of(*alike, status=1))
    assert sum(line == "  nested-off: the same" for line in lines) == 1
    assert any(line.startswith("  the same on kvm-001, kvm-002") for line in lines)


def test_one_reason_over_many_targets_is_printed_once() -> None:
    down = [replace(ERROR, target=f"kvm-{n}", subject=f"kvm-{n}", message="connection refused") for n in range(17)]
    lines = printed(run_of(*down, status=6))
    (line,) = [line for line in lines if "connection refused" in line]
    assert line.startswith("17 targets  could not be inspected: connection refused  [L0-KVM-02]: kvm-0, kvm-1")


def test_a_problem_that_is_waived_is_counted_and_shown_as_waived() -> None:
    lines = printed(run_of(replace(FAIL, waiver=WAIVER)))
    assert "1 finding: 1 problem, 1 of them waived" in lines
    assert [line for line in lines if "waived until 2026-04-30" in line]
    assert [line for line in lines if line.startswith("  nested-off")] == []


def test_a_log_without_symbols_gets_ascii() -> None:
    run = run_of(*many(60), status=1)
    run.answers = [NOW_NO]
    lines = printed(run, Screen(is_ascii=True))
    assert all(line.isascii() for line in lines)
    assert "kvm-a  guests can nest: now yes , after reboot NO  /lib/modprobe.d/99-x.conf:1" in lines


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "kvm-a  guests can nest: now yes · after reboot NO  /lib/modprobe.d/99-x.conf:1"),
        (
            {"nested": Nested.FORBIDDEN, "now": Answer.NO},
            "kvm-a  guests can nest (must not): now no · after reboot no",
        ),
        (
            {"nested": Nested.FORBIDDEN, "after_boot": Answer.YES},
            "kvm-a  guests can nest (must not): now YES · after reboot YES  /lib/modprobe.d/99-x.conf:1",
        ),
        (
            {"level": TargetLevel.L1, "source": "virsh dumpxml x", "now": Answer.NO, "after_boot": Answer.UNKNOWN},
            "kvm-a  can nest: now NO · after reboot ?  persisted-off",
        ),
        (
            {"source": "/sys/module/kvm_intel", "cause": Cause.OTHER_HYPERVISOR_OWNS_CPU, "now": Answer.NO},
            "kvm-a  guests can nest: now NO · after reboot NO  other-hypervisor-owns-cpu",
        ),
        (
            {"after_boot": Answer.UNKNOWN, "reason": "kmod is not installed"},
            "kvm-a  guests can nest: now yes · after reboot ?  kmod is not installed",
        ),
    ],
)
def test_the_answer_is_one_line(changes: dict[str, object], line: str) -> None:
    assert answer_line(replace(NOW_NO, **changes)) == line  # type: ignore[arg-type]


def test_what_must_not_nest_and_cannot_is_counted_apart() -> None:
    good = replace(NOW_NO, after_boot=Answer.YES)
    forbidden = replace(NOW_NO, nested=Nested.FORBIDDEN, now=Answer.NO)
    line = answers_line([NOW_NO, good, forbidden, replace(good, now=Answer.UNKNOWN)])
    assert line == (
        "4 targets: 1 can nest now and after a reboot, 1 must not nest and cannot, 1 not as required, 1 undetermined"
    )


def test_the_worst_answer_comes_first_by_severity() -> None:
    run = run_of(FAIL, replace(IN_GUEST, target="b", subject="b"), status=1)
    names = ["a", "b", "kvm-a"]
    run.answers = [replace(NOW_NO, target=name) for name in names] + [replace(NOW_NO, target="0", now=Answer.UNKNOWN)]
    run.answers[0] = replace(run.answers[0], after_boot=Answer.YES)
    run.problems = problems_of(run)
    lines = [line.split("  ")[0] for line in printed(run) if " can nest: " in line]
    assert lines[-1] == "a"
    assert set(lines[:-1]) == {"0", "b", "kvm-a"}
    assert lines.index("kvm-a") < lines.index("0")


def test_a_run_without_findings_has_no_problems() -> None:
    assert [line for line in summary() if "problem" in line] == []
    assert run_of().count(Outcome.FAIL) == 0


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "kvm-a (10.0.0.1 port 22): unreachable (refused): is it up?",
            "10.0.0.1 port 22: unreachable (refused): is it up?",
        ),
        ("kvm-a: the run ended before it was observed", "the run ended before it was observed"),
        ("(10.0.0.1 port 22): of another", "(10.0.0.1 port 22): of another"),
        ("kvm-ab (10.0.0.1 port 22): of another", "kvm-ab (10.0.0.1 port 22): of another"),
    ],
)
def test_a_message_behind_the_name_of_its_target_does_not_repeat_it(message: str, shown: str) -> None:
    assert without("kvm-a", message) == shown
