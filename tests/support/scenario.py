"""Recorded machines: one YAML file each, what it differs in from a base, and the outcome of every control.

`base` names a file of `base/`; `readings` replaces readings of it by source, a text or `{status: …}`; `modprobe.d`
replaces all of its modprobe.d; `kmod gives` is what kmod then hands to the CPU's KVM module. `cut` names the reading in
which the answer ended, `unreachable` why nothing was read. `domains` are libvirt's; one with `inside` is inspected from
inside as well. `expect` lists the outcomes that the scenario is about; all others follow from the base. `says` holds
data that a control's message must contain (a file and line, a name, a value), never its wording; `diagnosis` is the
state of a guest's chain.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES
from tests.support.bundles import without_unlisted_modules

HERE: Final = Path(__file__).parents[1] / "data" / "scenarios"
RECORDED: Final = HERE / "recorded"
DOMAIN_CONTROLS: Final = ("DOM-CPU-01", "DOM-CPU-02", "DOM-CPU-03", "DOM-CPU-05")
OF_A_PAIR: Final = {"L1-CPU-02": "pass", "PAIR-01": "pass"}
"""What is asked of a guest only where its host is known."""
_UUID: Final = "/sys/class/dmi/id/product_uuid"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawReading(_Part):
    """A reading that is more than a text which was read to its end."""

    status: Status = Status.OK
    text: str = ""
    exit: int | None = None
    link: str | None = None


class Diagnosis(_Part):
    """The expected state of a guest's chain. `warns` has a name or value for each warning that must be given."""

    can_nest: str
    broken_link: str | None = None
    cause: str | None = None
    warns: list[str] = Field(default_factory=list)


class Inside(_Part):
    """A guest inspected from inside; it has its domain's uuid where `readings` do not say otherwise."""

    base: str
    readings: dict[str, str | RawReading | None] = Field(default_factory=dict)
    unreachable: str | None = None
    expect: dict[str, str] = Field(default_factory=dict)
    says: dict[str, str] = Field(default_factory=dict)

    def expected(self, *, forbidden: bool) -> dict[str, str]:
        about = {**OF_A_PAIR, **self.expect}
        return base(self.base).expected(about, forbidden=forbidden, unreachable=self.unreachable is not None)

    def all_readings(self, uuid: str) -> dict[str, Reading]:
        raw: dict[str, str | RawReading | None] = {**base(self.base).readings, _UUID: uuid, **self.readings}
        found = {source: reading(source, given) for source, given in raw.items() if given is not None}
        return without_unlisted_modules(found)


class DomainCase(_Part):
    """A domain: `inactive` and `live` each name a recorded file, or hold a `<cpu>`, or a whole XML text."""

    source: str = "constructed"
    declared: dict[str, str] | None = None
    """The guest's own policy; None: the inventory does not name the domain."""
    type: str = "kvm"
    inactive: str = ""
    live: str | None = None
    state: str | None = None
    persistent: bool = True
    managed_save: str | None = None
    """What it holds, as `inactive` has it; `unreadable`: what libvirt refuses."""
    snapshots: dict[str, str] = Field(default_factory=dict)
    """Likewise, by name; a whole `<domainsnapshot>` is taken as it is."""
    expect: list[str] = Field(min_length=3, max_length=len(DOMAIN_CONTROLS))
    """The outcomes of DOM-CPU-01, -02, -03 and -05; the last is a pass where it is left out."""
    saved: str | None = None
    """The outcome of DOM-CPU-04; left out it is a pass, or why DOM-CPU-02 is not evaluated either."""
    says: dict[str, str] = Field(default_factory=dict)
    uuid: str | None = None
    inside: Inside | None = None
    diagnosis: Diagnosis | None = None

    def expected(self) -> dict[str, str]:
        outcomes = [*self.expect, "pass"][: len(DOMAIN_CONTROLS)]
        word = self.expect[1].partition(" ")[0]
        unjudged = [word] if word in {"notapplicable", "error", "informational"} else []
        own = dict(zip(DOMAIN_CONTROLS, outcomes, strict=True))
        own["DOM-CPU-04"] = self.saved or next(iter(unjudged), "pass")
        return own | (self.inside.expected(forbidden=self.is_forbidden) if self.inside else {})

    @property
    def is_forbidden(self) -> bool:
        return (self.declared or {}).get("nested") == "forbidden"

    def messages(self) -> dict[str, str]:
        return self.says | (self.inside.says if self.inside else {})


class Base(_Part):
    """A whole machine. `forbidden` is what its policy changes where nesting is forbidden."""

    source: str
    level: str
    libvirt: str = "qemu:///system"
    readings: dict[str, str | RawReading]
    expect: dict[str, str]
    forbidden: dict[str, str] = Field(default_factory=dict)

    def expected(
        self, about: Mapping[str, str], *, forbidden: bool = False, unreachable: bool = False
    ) -> dict[str, str]:
        """The outcome of every control that the base lists, and of those that a scenario is `about`."""
        if unreachable:
            return {**dict.fromkeys(self.expect, "error"), **about}
        usual = {**self.expect, **(self.forbidden if forbidden else {})}
        return {**usual, **_consequences(usual, about), **about}


def _consequences(usual: Mapping[str, str], about: Mapping[str, str]) -> dict[str, str]:
    """What the controls that pass otherwise give after the outcomes that a scenario is about."""
    following: dict[str, str] = {}
    for rule in consequences():
        if any(about.get(control, "").startswith(outcome) for control, outcome in rule.after.items()):
            following |= {control: outcome for control, outcome in rule.then.items() if usual.get(control) == "pass"}
    return following


class Consequence(_Part):
    """After an outcome that begins like one of `after`, other controls give what `then` says."""

    after: dict[str, str]
    then: dict[str, str]


class Scenario(_Part):
    about: str
    source: str
    base: str
    level: str | None = None
    policy: dict[str, str] = Field(default_factory=dict)
    read_as: str | None = None
    """Of a guarded policy: `forbidden` where the kernel is not fixed."""
    libvirt: str | None = None
    readings: dict[str, str | RawReading | None] = Field(default_factory=dict)
    """None: the reading is not there."""
    modprobe_d: dict[str, str | RawReading] | None = Field(None, alias="modprobe.d")
    kmod_gives: str | None = Field(None, alias="kmod gives")
    cut: str | None = None
    unreachable: str | None = None
    """Why the machine could not be observed at all."""
    domains: Mapping[str, DomainCase] = Field(default_factory=dict)
    expect: dict[str, str] = Field(default_factory=dict)
    says: dict[str, str] = Field(default_factory=dict)

    @property
    def machine(self) -> Base:
        return base(self.base)

    def expected(self) -> dict[tuple[str, str], str]:
        """The outcome and cause by control and subject; "" is the machine itself."""
        forbidden = (self.read_as or self.policy.get("nested")) == "forbidden"
        unreachable = self.unreachable is not None
        outcomes = self.machine.expected(self.expect, forbidden=forbidden, unreachable=unreachable)
        own = {("", control): outcome for control, outcome in outcomes.items()}
        of_domains = {
            (name, control): outcome
            for name, domain in self.domains.items()
            for control, outcome in domain.expected().items()
        }
        return own | of_domains

    def disagreements(self, found: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """What differs from the expected outcomes, as "expected …, found …".

        A control that neither the base nor the scenario lists is a new one: it may give anything but a finding, and an
        error only where not everything could be read.
        """
        expected, new_may_be = self.expected(), {"pass", "notapplicable", "notchecked", "informational", "unknown"}
        if (
            self.unreachable
            or self.cut
            or any(each.inside and each.inside.unreachable for each in self.domains.values())
        ):
            new_may_be.add("error")
        differing = {key: outcome for key, outcome in expected.items() if found.get(key) != outcome}
        new = {key: "nothing new" for key in found if key not in expected and found[key].split()[0] not in new_may_be}
        return {
            key: f"expected {outcome}, found {found.get(key, 'no result')}"
            for key, outcome in {**differing, **new}.items()
        }

    def repeated(self) -> set[str]:
        """The outcomes of the machine that the scenario lists though they follow without."""
        of_all = self.expected()
        return {
            control
            for control in self.expect
            if self.model_copy(update={"expect": {k: v for k, v in self.expect.items() if k != control}}).expected()
            == of_all
        }

    def messages(self) -> Iterator[tuple[str, str, str]]:
        """Subject, control, and what its message must contain."""
        yield from (("", control, text) for control, text in self.says.items())
        for name, domain in self.domains.items():
            yield from ((name, control, text) for control, text in domain.messages().items())

    def all_readings(self) -> dict[str, Reading]:
        """The base's readings with the differences, in the base's order, up to the cut."""
        raw: dict[str, str | RawReading | None] = {**self.machine.readings}
        if self.modprobe_d is not None:
            raw = {source: given for source, given in raw.items() if "/modprobe.d" not in source}
            raw |= _directories(self.modprobe_d)
        if self.kmod_gives is not None:
            raw |= dict(_given(self.machine.readings, self.kmod_gives))
        raw |= self.readings
        sources = list(raw)
        kept = sources[: sources.index(self.cut)] if self.cut else sources
        found = {source: reading(source, given) for source in kept if (given := raw[source]) is not None}
        return without_unlisted_modules(found)


def reading(source: str, given: str | RawReading) -> Reading:
    if isinstance(given, str):
        return Reading(source, Status.OK, given)
    return Reading(source, given.status, given.text, given.exit, given.link)


def _directories(files: dict[str, str | RawReading]) -> dict[str, str | RawReading | None]:
    listings: dict[str, str | RawReading | None] = {
        directory: "\n".join(sorted(path.rpartition("/")[2] for path in files if path.startswith(f"{directory}/")))
        for directory in ALL_DIRECTORIES
    }
    return listings | files


def _given(readings: dict[str, str | RawReading], options: str) -> Iterator[tuple[str, str]]:
    for source, answer in readings.items():
        if source.startswith("modprobe --show-depends ") and isinstance(answer, str):
            lines = answer.splitlines()
            yield source, "\n".join([*lines[:-1], f"{' '.join(lines[-1].split()[:2])} {options} "])


@cache
def base(name: str) -> Base:
    return Base.model_validate(read_yaml(HERE / "base" / f"{name}.yaml"))


@cache
def consequences() -> list[Consequence]:
    """What follows for other controls from an outcome, on every base."""
    return [Consequence.model_validate(each) for each in read_yaml(HERE / "consequences.yaml")]


@cache
def scenarios() -> dict[str, Scenario]:
    """Every scenario by its name, which is its file's."""
    folders = ("l0", "domains", "l1", "pairs", "groups")
    files = sorted(path for folder in folders for path in (HERE / folder).glob("*.yaml"))
    return {path.stem: Scenario.model_validate(read_yaml(path)) for path in files}


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)
