"""Published failures: one YAML file each, a scenario of what the reporter showed and what the audit must report.

`thread` is where it was published, `about` what happened there. `source` says which readings are the reporter's own;
all others come from the base machine. Only what the thread is about is expected: `expect` of the machine, `tells` of a
domain and of its guest, `maintenance` of either when asked before a migration. `missing` names what was not published,
where that keeps the matter from being decided.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import Field

from tests.support.scenario import Diagnosis, DomainCase, Scenario, read_yaml

HERE: Final = Path(__file__).parents[1] / "data" / "field"


class FieldDomain(DomainCase):
    expect: list[str] = Field(default_factory=list, max_length=0)
    tells: dict[str, str] = Field(default_factory=dict)
    maintenance: dict[str, str] = Field(default_factory=dict)


class FieldFailure(Scenario):
    thread: str
    missing: str | None = None
    maintenance: dict[str, str] = Field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    """The diagnosis of the machine itself, where it is a guest whose host is not known."""
    domains: Mapping[str, FieldDomain] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """The thread as its project calls it: `owner/repository#number`."""
        owner, repository, _, number = self.thread.removeprefix("https://github.com/").split("/")
        return f"{owner}/{repository}#{number}"

    def told(self) -> dict[tuple[str, str], str]:
        """The outcome and cause by subject and control; "" is the machine itself."""
        return dict(_by_subject(self.expect, {name: domain.tells for name, domain in self.domains.items()}))

    def told_before_maintenance(self) -> dict[tuple[str, str], str]:
        of_domains = {name: domain.maintenance for name, domain in self.domains.items()}
        return dict(_by_subject(self.maintenance, of_domains))

    def diagnoses(self) -> dict[str, Diagnosis]:
        """By the name in the inventory."""
        of_domains = {domain: case.diagnosis for domain, case in self.domains.items() if case.diagnosis}
        own = {"": self.diagnosis} if self.diagnosis else {}
        return own | of_domains


def _by_subject(
    own: Mapping[str, str], of_domains: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[tuple[str, str], str]]:
    for name, outcomes in {"": own, **of_domains}.items():
        for control, outcome in outcomes.items():
            yield (name, control), outcome


@cache
def failures() -> dict[str, FieldFailure]:
    """Every published failure by its file's name, in the order of the alphabet."""
    files = sorted(HERE.glob("*.yaml"))
    return {path.stem: FieldFailure.model_validate(read_yaml(path)) for path in files}
