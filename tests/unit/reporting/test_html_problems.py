"""The report's sections that rest on problems: entries, the picture of the fleet, and a section for each target."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.html import problem_list, target_sections
from nested_kvm.reporting.html.fleet_map import fleet_maps
from nested_kvm.reporting.html.fleet_picture import HostPicture, fleet_picture
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.html.printed import Printed
from nested_kvm.reporting.html.problem_list import problem_entries
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Run
from tests.support.html_report import elements
from tests.support.made_runs import FAIL, PASS, TARGETS, WAIVER, run_of, scope

MARKUP = "<img src=x onerror=alert(1)>"
FLAG = replace(
    FAIL,
    control="L1-CPU-01",
    target="ci-1",
    subject="ci-1",
    severity=Severity.CRITICAL,
    cause=Cause.FLAG_MISSING,
    message="the guest's CPU has no svm",
    evidence=(Evidence("/proc/cpuinfo", "flags: fpu lm"),),
    remediation=("virsh edit ci-1",),
)


def text_of(run: Run) -> str:
    return " ".join(" ".join(elements(opening(run, scope(), None)).texts).split())


def host(name: str, now: Answer = Answer.YES, later: Answer = Answer.YES, **more: object) -> NestingAnswer:
    answer = NestingAnswer(
        target=name, level=TargetLevel.L0, host=None, nested=Nested.REQUIRED, now=now, after_boot=later
    )
    return replace(answer, **more)  # type: ignore[arg-type]  # any field


def guest(name: str, on: str, now: Answer = Answer.YES, **more: object) -> NestingAnswer:
    return replace(host(name, now, now), level=TargetLevel.L1, host=on, **more)  # type: ignore[arg-type]  # as above


def pictures(*answers: NestingAnswer, diagnoses: tuple[Diagnosis, ...] = ()) -> list[HostPicture]:
    run = run_of(PASS)
    run.answers, run.diagnoses = list(answers), list(diagnoses)
    return fleet_picture(run)


def test_a_problem_has_its_cause_then_what_follows_from_it() -> None:
    (entry,) = problem_entries(run_of(FLAG, FAIL, status=1))
    assert [(each.result.control, each.role.value) for each in entry.findings] == [
        ("L0-KVM-04", "cause"),
        ("L1-CPU-01", "consequence"),
    ]
    assert entry.places == ["kvm-a"]
    assert "holds back ci-1" in entry.effect


def test_the_page_shows_problems_before_the_map_with_evidence_and_commands() -> None:
    said = text_of(run_of(FLAG, FAIL, status=1))
    problem = said[said.index("Problems 2 findings: 1 problem") : said.index("Map")]
    for part in (FAIL.message, "nested-off", *FAIL.remediation, FLAG.message, "/proc/cpuinfo flags: fpu lm"):
        assert part in problem


def test_alike_problems_of_many_hosts_are_one_entry() -> None:
    names = [f"kvm-{number}" for number in range(5)]
    run = run_of(*(replace(FAIL, target=name, subject=name) for name in names), status=1)
    run.targets = [replace(TARGETS[0], name=name) for name in names]
    (entry,) = problem_entries(run)
    assert entry.places == names
    assert entry.named == names[:3]
    assert len(entry.findings) == 5
    assert "and 2 more" in text_of(run)
    assert "All 5 places" in text_of(run)


def test_many_problems_that_hold_back_guests_are_brought_together(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = range(4)
    found = [
        replace(FLAG, target=f"ci-{each}", subject=f"ci-{each}", remediation=(f"virsh edit ci-{each}",))
        for each in numbers
    ]
    run = run_of(*found, status=1)
    run.targets = [replace(TARGETS[1], name=f"ci-{each}") for each in numbers]
    run.problems = problems_of(run)
    assert len(problem_entries(run)) == len(found)
    monkeypatch.setattr(problem_list, "_MANY", 3)
    (entry,) = problem_entries(run)
    assert len(entry.problems) == len(found)
    assert entry.commands_are_of_the_first
    said = text_of(run)
    for each in numbers:
        assert f"virsh edit ci-{each}" in said


def test_a_waived_problem_is_no_entry() -> None:
    assert problem_entries(run_of(replace(FAIL, waiver=WAIVER))) == []


def test_a_host_is_drawn_with_its_guests_and_the_broken_link() -> None:
    links = (
        SeenLink(LinkName.L0_CPU, LinkState.HOLDS),
        SeenLink(LinkName.L0_NESTED, LinkState.BROKEN),
        SeenLink(LinkName.DOMAIN_DEFINITION, LinkState.UNSEEN),
    )
    diagnosis = Diagnosis("ci-1", "kvm-a", Answer.NO, links, "nested is off", LinkName.L0_NESTED, Cause.NESTED_OFF)
    (picture,) = pictures(
        host("kvm-a", Answer.NO, Answer.YES, cause=Cause.NESTED_OFF),
        guest("ci-1", "kvm-a", Answer.NO, cause=Cause.NESTED_OFF),
        diagnoses=(diagnosis,),
    )
    assert picture.host is not None
    assert (picture.tone, picture.host.look.now, picture.host.look.after_boot) == ("bad", "no", "yes")
    assert [(each.name, each.state) for each in picture.layers] == [("CPU", "holds"), ("nested", "broken")]
    (drawn,) = picture.guests
    assert (drawn.names, drawn.look.broken, drawn.look.why) == (("ci-1",), "l0-nested", "nested-off")


@pytest.mark.parametrize(
    ("answer", "tone"),
    [
        (host("a"), "good"),
        (host("a", Answer.NO, Answer.NO), "bad"),
        (host("a", Answer.YES, Answer.NO), "later"),
        (host("a", Answer.YES, Answer.UNKNOWN), "unsure"),
        (host("a", Answer.NO, Answer.NO, nested=Nested.FORBIDDEN), "good"),
        (host("a", Answer.NO, Answer.YES, nested=Nested.FORBIDDEN), "later"),
        (host("a", Answer.YES, Answer.YES, nested=Nested.FORBIDDEN), "bad"),
        (host("a", nested=None), "unsure"),
    ],
)
def test_the_tone_is_by_the_policy(answer: NestingAnswer, tone: str) -> None:
    (picture,) = pictures(answer)
    assert picture.tone == tone


def test_hosts_that_look_alike_are_drawn_once_in_a_large_fleet_only() -> None:
    some = [host(f"kvm-{number:02}") for number in range(12)]
    assert len(pictures(*some)) == 12
    odd = host("kvm-99", Answer.NO, Answer.NO, cause=Cause.NESTED_OFF)
    guests = [guest(f"ci-{number:02}", f"kvm-{number:02}") for number in range(12)]
    first, second = pictures(*some, *guests, odd)
    assert (first.hosts, first.tone) == (1, "bad")
    assert (second.hosts, [len(each.names) for each in second.guests]) == (12, [12])


def test_guests_of_unknown_hosts_are_drawn_too() -> None:
    (picture,) = pictures(guest("ci-1", "elsewhere"))
    assert picture.host is None
    assert [each.names for each in picture.guests] == [("ci-1",)]


def test_a_target_has_its_passes_with_their_evidence_and_when_it_was_observed() -> None:
    proven = replace(PASS, evidence=(Evidence("/sys/module/kvm_amd", "initstate=live"),))
    run = run_of(proven, FAIL, status=1)
    run.targets = [replace(TARGETS[0], observed_at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC)), TARGETS[1]]
    said = text_of(run)
    section = said[said.index("Targets Everything") :]
    assert "observed 2026-02-03 04:05 UTC" in section
    assert "L0-KVM-01 pass /sys/module/kvm_amd: initstate=live" in section
    assert "Problems: nested-off" in section


def test_evidence_that_many_targets_share_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"kvm-{number}" for number in range(4)]
    shared = (Evidence("/sys/module/kvm_amd", "initstate=live"),)
    results = [replace(PASS, target=name, subject=name, evidence=shared) for name in names]
    own = replace(PASS, control="L0-LIB-01", target="kvm-0", subject="kvm-0", evidence=(Evidence("libvirt", "9.0"),))
    run = run_of(*results, own)
    run.targets = [replace(TARGETS[0], name=name) for name in names]
    assert text_of(run).count("initstate=live") == 4
    monkeypatch.setattr(target_sections, "_SHARED_FROM", 4)
    said = text_of(run)
    assert said.count("initstate=live") == 1
    assert said.count("as on 4 targets") == 4
    assert "libvirt: 9.0" in said


def test_equal_commands_are_marked_from_the_second_time_on() -> None:
    printed = Printed()
    assert [printed.again(lines) for lines in (["a"], ["b"], ("a",), ["a", "b"])] == [False, False, True, False]


def test_the_map_is_sorted_by_severity_before_numbers() -> None:
    many = [replace(FAIL, control=f"L0-KVM-0{number}", severity=Severity.MEDIUM) for number in range(1, 5)]
    one = replace(FAIL, target="kvm-z", subject="kvm-z", severity=Severity.CRITICAL)
    waived = replace(one, target="kvm-w", subject="kvm-w", waiver=WAIVER)
    run = run_of(*many, one, waived, status=1)
    run.targets = [replace(TARGETS[0], name=name) for name in ("kvm-a", "kvm-w", "kvm-z")]
    (only,) = fleet_maps(run)
    assert [row.name for row in only.rows] == ["kvm-z", "kvm-a", "kvm-w"]


def test_no_text_of_a_target_is_markup_in_any_section() -> None:
    bad = replace(
        FAIL,
        target=MARKUP,
        subject=MARKUP,
        message=MARKUP,
        evidence=(Evidence(MARKUP, MARKUP),),
        remediation=(MARKUP,),
    )
    passed = replace(PASS, target=MARKUP, subject=MARKUP, evidence=(Evidence(MARKUP, MARKUP),))
    failed = replace(PASS, control="L0-X-01", target=MARKUP, subject=MARKUP, outcome=Outcome.UNKNOWN, message=MARKUP)
    run = run_of(bad, passed, failed, status=1)
    run.targets = [replace(TARGETS[0], name=MARKUP), replace(TARGETS[0], name="kvm-b", observed=False, error=MARKUP)]
    run.answers = [host(MARKUP, Answer.NO, reason=MARKUP, source=MARKUP), guest(f"g{MARKUP}", MARKUP)]
    page = elements(opening(run, scope(), None))
    assert "img" not in {tag for tag, _ in page.tags}
    assert "".join(page.texts).count(MARKUP) > 15


def test_results_without_a_cause_have_a_problem_too() -> None:
    site = replace(FAIL, control="SITE-x", cause=None, evidence=(), remediation=())
    said = text_of(run_of(site, status=1))
    assert "Problems 1 finding: 1 problem" in said
    assert Outcome.FAIL.value in said


def test_a_guest_that_must_not_nest_and_cannot_is_not_broken() -> None:
    link = SeenLink(LinkName.DOMAIN_DEFINITION, LinkState.BROKEN)
    diagnosis = Diagnosis("web-1", "kvm-a", Answer.NO, (link,), "no flag", LinkName.DOMAIN_DEFINITION)
    run = run_of(PASS)
    run.diagnoses = [diagnosis, replace(diagnosis, target="ci-1")]
    run.answers = [
        guest("web-1", "kvm-a", Answer.NO, nested=Nested.FORBIDDEN),
        guest("ci-1", "kvm-a", Answer.NO, cause=Cause.FEATURE_DISABLED),
    ]
    said = text_of(run)
    chains = said[said.index("The chain of each guest") :]
    assert "1 cannot, 1 must not and cannot" in chains
    assert chains.index("ci-1 on kvm-a cannot nest domain-definition is broken") < chains.index(
        "web-1 on kvm-a must not"
    )
    assert "web-1 on kvm-a must not nest, and cannot domain-definition" not in chains
