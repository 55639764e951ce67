"""A run over any number of hosts with a guest each, as data: some have a finding, some are waived or undecided."""

from collections.abc import Iterator
from dataclasses import replace

from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Result, Run
from tests.support.made_runs import FAIL, PASS, TARGETS, WAIVER, run_of


def results_of(number: int) -> Iterator[Result]:
    """The results of one host with its guest."""
    host, guest = f"kvm-{number:03}", f"ci-{number:03}"
    yield replace(PASS, target=host, subject=host, evidence=(Evidence("/dev/kvm", f"on {host}"),))
    if number % 2:
        waiver = WAIVER if number % 6 == 1 else None
        yield replace(FAIL, target=host, subject=host, waiver=waiver, message=f"nested=0 on {host}")
    if number % 3 == 0:
        missing = {"cause": Cause.FLAG_MISSING, "severity": Severity.CRITICAL, "message": "the guest has no svm"}
        yield replace(FAIL, control="L1-CPU-01", target=guest, subject=guest, **missing)  # type: ignore[arg-type]
    yield replace(PASS, control="DOM-CPU-01", target=host, subject=guest)
    yield replace(PASS, control="L1-KVM-04", target=guest, subject=guest, outcome=Outcome.UNKNOWN, message="unclear")


def run_of_hosts(count: int) -> Run:
    """Make the run."""
    run = run_of(*(result for number in range(count) for result in results_of(number)), status=1)
    hosts = [replace(TARGETS[0], name=f"kvm-{number:03}") for number in range(count)]
    guests = [replace(TARGETS[1], name=f"ci-{number:03}", host=f"kvm-{number:03}") for number in range(count)]
    run.targets = [*hosts, *guests]
    run.diagnoses = [diagnosis_of(each.name, str(each.host)) for each in guests]
    run.answers = [
        NestingAnswer(
            target=each.name,
            level=each.level,
            host=each.host,
            nested=Nested.REQUIRED,
            now=Answer.YES,
            after_boot=Answer.YES,
        )
        for each in run.targets
    ]
    run.problems = problems_of(run)
    return run


def diagnosis_of(guest: str, host: str) -> Diagnosis:
    """A chain that is broken in the domain's definition."""
    link = SeenLink(LinkName.DOMAIN_DEFINITION, LinkState.BROKEN, f"of {guest}")
    return Diagnosis(guest, host, Answer.NO, (link,), "no flag", LinkName.DOMAIN_DEFINITION)
