"""Our rules about CPU definitions, held against what the host's own libvirt and QEMU make of drawn ones."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.config import from_environment
from lab.oracle import Given, Oracle
from lab.progress import say
from lab.session import Session
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, cpu_definition_of
from nested_kvm.model.answer import Answer
from tests.e2e.lab import audit
from tests.e2e.lab.definitions import DEFINITIONS, Drawn, arguments, domains

T = TypeVar("T")
BATCH: Final = 250
STARTS: Final = 40
"""Command lines in place of definitions: each is a QEMU that is started."""
FLAG: Final = from_environment().suite.flag
NAMED: Final = {"svm": "Opteron_G2", "vmx": "core2duo"}[FLAG]
"""A model of the host's vendor, without the flag."""
CANDIDATES: Final = (
    *(
        Drawn("q35", f"<cpu mode='{mode}'>{inside.format(flag=FLAG)}</cpu>")
        for mode in ("host-passthrough", "maximum", "host-model")
        for inside in ("", "<feature policy='require' name='{flag}'/>", "<feature policy='disable' name='{flag}'/>")
    ),
    *(
        Drawn("pc", f"<cpu match='exact'><model>{NAMED}</model><feature policy='{policy}' name='{FLAG}'/></cpu>")
        for policy in ("require", "force", "optional", "disable", "forbid")
    ),
    Drawn("q35", ""),
    Drawn("q35", f"<cpu match='minimum'><model fallback='forbid'>{NAMED}</model></cpu>"),
    Drawn("q35", "<cpu><model>EPYC</model><topology sockets='1' cores='1' threads='1'/></cpu>"),
    Drawn("q35", "<cpu mode='host-passthrough' migratable='off' check='none'><cache mode='passthrough'/></cpu>"),
    Drawn("q35", "<cpu><model>no-such-model</model></cpu>"),
)
"""Candidates, a few of each kind: a translation takes seconds under emulation."""
PATIENCE: Final = 600
"""Seconds, of which half are for the translations of all candidates."""
VENDOR: Final = next(vendor for vendor in Vendor if vendor.flag == FLAG)


@pytest.fixture(scope="module", params=[True, False], ids=["nested-on", "nested-off"])
def oracle(request: pytest.FixtureRequest, lab: Session) -> Oracle:
    """The lab's host, with nested on or off; nothing is remembered from one to the other."""
    if lab.host.nested() is not request.param:
        lab.host.stop_all()
        lab.host.set_nested(on=request.param)
    return Oracle(lab.host.shell, FLAG)


@pytest.mark.parametrize("oracle", [True], ids=["nested-on"], indirect=True)
def test_a_domain_gets_what_its_definition_promises(oracle: Oracle, definitions: int) -> None:
    models = oracle.names()["libvirt"]
    seen: dict[Drawn, str] = {}

    def hold(drawn: Sequence[Drawn]) -> None:
        given = oracle.of_domains([(each.machine, each.xml) for each in drawn])
        compared = [(each, _promised(each), there) for each, there in zip(drawn, given, strict=True)]
        seen.update((each, _kind(promised, there)) for each, promised, there in compared)
        wrong = [
            f"{each.machine} {each.cpu}: {promised}, but -cpu {there.cpu} gives {there.flag}"
            for each, promised, there in compared
            if _disagree(promised, there, nested=True) and not _is_refused_when_started(each)
        ]
        assert wrong == []

    _draw(hold, domains(models), definitions)
    counts = _counts("domains with nested on", seen.values())
    assert counts["decided"] > counts["unknown"], "most definitions are decided"


@pytest.mark.parametrize("oracle", [True], ids=["nested-on"], indirect=True)
def test_a_candidate_is_answered_as_the_whole_domain_is(oracle: Oracle, lab: Session, tmp_path: Path) -> None:
    """Of a file only the CPU is sent: the answer has to be the one about everything."""
    files = tmp_path / "files"
    files.mkdir()
    for number, drawn in enumerate(CANDIDATES):
        (files / f"{number}.xml").write_text(drawn.xml.replace("<name>drawn<", f"<name>drawn-{number}<"))
    arguments = ["--active", f"--candidate={files}", f"--probe-timeout={PATIENCE}"]
    report = audit.run(lab, tmp_path / "audit", [], nested="required", arguments=arguments)
    answers = [_answer_about(report, f"drawn-{number}") for number in range(len(CANDIDATES))]
    given = [there.flag for there in _given(oracle, CANDIDATES)]
    wrong = [
        f"{each.machine} {each.cpu}: {answer}, but the whole domain gives {there}"
        for each, answer, there in zip(CANDIDATES, answers, given, strict=True)
        if answer is not there
    ]
    assert wrong == []
    assert set(given) == {True, False, None}


def _answer_about(report: audit.Report, name: str) -> bool | None:
    """What the host's QEMU said of a candidate; None: libvirt refuses it."""
    result = report.result("DOM-CPU-02", name)
    shown = [each["text"] for each in result["evidence"] if each["source"].startswith("query-cpu-model-expansion ")]
    if not shown:
        assert result["outcome"] != "pass", result
        return None
    flag = json.loads(shown[0])[FLAG]
    assert isinstance(flag, bool)
    return flag


@pytest.mark.parametrize("oracle", [False], ids=["nested-off"], indirect=True)
def test_with_nested_off_no_definition_gives_the_flag(oracle: Oracle) -> None:
    """QEMU is started: an expansion keeps a flag that is asked for, whatever KVM offers."""
    promising = [
        Drawn("q35", "<cpu mode='host-passthrough'/>"),
        Drawn("q35", "<cpu mode='maximum'/>"),
        _named("require"),
        _named("force", check="none"),
    ]
    assert all(_promised(each) is Answer.YES for each in promising)
    cpus = [there.cpu for there in _given(oracle, promising)]
    started = oracle.of_arguments([("-machine", "q35", "-cpu", cpu) for cpu in cpus])
    assert [there.flag for there in started] == [False] * len(promising)


def test_a_command_line_gives_what_is_read_from_it(oracle: Oracle, lab: Session, definitions: int) -> None:
    nested = lab.host.nested()
    models = ["host", "max", "EPYC", "EPYC-v2", "Opteron_G2", "core2duo", "Skylake-Server", "qemu64", "kvm64", "phenom"]
    seen: dict[tuple[str, ...], str] = {}

    def hold(drawn: Sequence[tuple[str, ...]]) -> None:
        given = oracle.of_arguments(drawn)
        compared = [
            (each, _of_arguments(each).promise(VENDOR).gives_flag, there)
            for each, there in zip(drawn, given, strict=True)
        ]
        seen.update((each, _kind(promised, there)) for each, promised, there in compared)
        wrong = [
            f"{there.cpu}: {promised}, but it gives {there.flag}"
            for _, promised, there in compared
            if _disagree(promised, there, nested=nested)
        ]
        assert wrong == []

    _draw(hold, arguments(models), STARTS * definitions // DEFINITIONS if nested else STARTS // 5)
    counts = _counts(f"command lines with nested {'on' if nested else 'off'}", seen.values())
    assert counts["decided"], "some command line is decided"


def test_a_weak_definition_gives_the_flag_only_where_there_is_one(oracle: Oracle, lab: Session) -> None:
    weak = _named("optional")
    assert _definition(weak).weakness(FLAG)
    assert [there.flag for there in _given(oracle, [weak])] == [lab.host.nested()]


def _named(policy: str, check: str = "partial") -> Drawn:
    feature = f"<feature policy='{policy}' name='{FLAG}'/>"
    return Drawn("q35", f"<cpu mode='custom' match='exact' check='{check}'><model>{NAMED}</model>{feature}</cpu>")


def _given(oracle: Oracle, drawn: Sequence[Drawn]) -> list[Given]:
    return oracle.of_domains([(each.machine, each.xml) for each in drawn])


def _definition(drawn: Drawn) -> CpuDefinition:
    return cpu_definition_of(parse_domain_xml(reduce_domain_xml(drawn.xml)))


def _is_refused_when_started(drawn: Drawn) -> bool:
    """Whether it has the host's features and requires the other vendor's flag: a translation does not compare."""
    definition = _definition(drawn)
    required = {name for name, policy in definition.features.items() if policy == "require"}
    return definition.adds_host_features and bool(required & {each.flag for each in VENDOR.others})


def _promised(drawn: Drawn) -> Answer:
    return _definition(drawn).promise(VENDOR).gives_flag


def _of_arguments(words: Sequence[str]) -> CpuDefinition:
    """Read as the audit does: of an option that is given twice the last counts, and every -global."""
    options = list(zip(words[::2], words[1::2], strict=True))
    last = dict(options)
    properties = [value for option, value in options if option == "-global"]
    return qemu_cpu_definition(last.get("-cpu"), last["-machine"], properties)


def _disagree(promised: Answer, there: Given, *, nested: bool) -> bool:
    """A definition says what a guest gets on a host that offers the flag; with nested off no guest gets it."""
    if there.flag is None or promised is Answer.UNKNOWN:
        return False
    return there.flag is not (nested and promised is Answer.YES)


def _kind(promised: Answer, there: Given) -> str:
    if there.flag is None:
        return "refused"
    return "unknown" if promised is Answer.UNKNOWN else "decided"


def _draw(hold: Callable[[list[T]], None], drawn: st.SearchStrategy[T], number: int) -> None:
    """Hold a number of drawn values against the oracle, in batches: one question each takes far longer."""
    size = min(BATCH, number)

    @settings(
        max_examples=1 - (-number // size),  # the first is the simplest, over and over
        deadline=None,
        # The usual run draws the same each time: what is new to it is found by a larger one, not by a red build.
        derandomize=number <= DEFINITIONS,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(drawn, min_size=size, max_size=size))
    def held(batch: list[T]) -> None:
        hold(batch)

    held()


def _counts(what: str, kinds: Collection[str]) -> Counter[str]:
    counts = Counter(kinds)
    say(f"{what}: {len(kinds)} different ones asked, {', '.join(f'{counts[kind]} {kind}' for kind in sorted(counts))}")
    return counts
