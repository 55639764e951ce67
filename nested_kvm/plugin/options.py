"""The command line: what it offers, and the settings it comes to."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_kvm.connection import Settings
from nested_kvm.inventory.shard import Shard, parse_shard
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Nested, Policy, Undeclared
from nested_kvm.plugin.option_conflicts import refuse_contradictions
from nested_kvm.results.run import Threshold

DEFAULT_INVENTORY = "inventories/local.yaml"


def add_options(parser: pytest.Parser) -> None:
    """Add the suite's options to pytest's. Testinfra's own keep their meaning."""
    group = parser.getgroup("nested KVM compliance", "nested KVM compliance (write --name=value)")
    _add_what_is_audited(group)
    _add_what_counts(group)
    _add_several_controllers(group)
    _add_how_it_is_reached(group)
    group.addoption("--controls", action="store_true", help="print the catalogue of controls and exit")


def _add_what_is_audited(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--inventory",
        type=Path,
        metavar="FILE",
        help=f"the fleet, in YAML; --hosts then takes glob patterns over its names (default: {DEFAULT_INVENTORY})",
    )
    group.addoption(
        "--level",
        choices=list(TargetLevel),
        help="with --hosts alone: what each is. auto: an L1 where its CPUs carry the `hypervisor` flag, else an L0",
    )
    group.addoption(
        "--nested", choices=list(Nested), help="with --hosts alone, or --domain-xml: the policy (default: required)"
    )
    group.addoption(
        "--undeclared",
        choices=list(Undeclared),
        help="with --hosts alone: what is required of the domains found there (default: any, only reported)",
    )
    group.addoption(
        "--evidence", type=Path, metavar="DIR", help="judge saved evidence instead of connecting to anything"
    )
    group.addoption(
        "--active",
        action="store_true",
        help="start something as well: an L2 of a few bytes in each guest that must nest; without it nothing is",
    )

    group.addoption(
        "--domain-xml",
        type=Path,
        metavar="FILE",
        help="judge this domain only, as if it were defined on each L0: would it get the flag there?",
    )


def _add_what_counts(group: pytest.OptionGroup) -> None:
    group.addoption("--report-dir", type=Path, default=Path("reports"), metavar="DIR", help="default: reports/")
    group.addoption(
        "--gate",
        action="store_true",
        help="fail closed: what could not be looked at or decided blocks too; one verdict line per target "
        "(--nagios: the same, as a plugin of Nagios or Icinga answers)",
    )
    group.addoption(
        "--fail-on",
        choices=[str(severity) for severity in Severity],
        default=str(Severity.LOW),
        help="the lowest severity that makes the run fail (default: low)",
    )
    group.addoption(
        "--waivers",
        type=Path,
        metavar="FILE",
        help="accepted findings, in YAML: each with control, target, reason, approver, and `expires` or `permanent`",
    )
    group.addoption(
        "--baseline",
        type=Path,
        metavar="RESULTS.json",
        help="an earlier run to compare with: what is new, fixed, persisting, gone",
    )
    group.addoption(
        "--fail-on-drift", action="store_true", help="with --baseline: of findings, only new ones make the run fail"
    )


def _add_several_controllers(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--shard",
        metavar="K/N",
        help="audit the K-th of N parts of the fleet, the same one every time; guests stay with their host, and hosts "
        "with their group",
    )
    group.addoption(
        "--merge",
        action="append",
        type=Path,
        metavar="DIR",
        help="make one run's reports of several runs', for example of all shards; DIR has a run's results.json, repeat "
        "the option for each",
    )


def _add_how_it_is_reached(group: pytest.OptionGroup) -> None:
    group.addoption("--forks", type=int, default=32, metavar="N", help="targets observed at once (default: 32)")
    group.addoption(
        "--connect-timeout",
        type=float,
        metavar="S",
        help="seconds to connect and log in (default: the ssh-config's ConnectTimeout, else 10)",
    )
    group.addoption(
        "--probe-timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds for one execution on a target (default: 60)",
    )


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    inventory: Path | None
    ansible_inventory: Path | None
    domain_xml: Path | None
    nested: Nested | None
    """As given on the command line."""
    hosts: list[str]
    """Glob patterns with an inventory, Ansible's with one of Ansible's, host specs without."""
    default_scheme: str
    level: TargetLevel
    policy: Policy
    report_dir: Path
    evidence: Path | None
    active: bool
    threshold: Threshold
    nagios: bool
    """Answer as a plugin of Nagios; a gate's threshold comes with it."""
    waivers: Path | None
    baseline: Path | None
    shard: Shard | None
    """Of the targets that the run would audit without it."""
    merge: tuple[Path, ...]
    """Runs to make one of; nothing is audited then."""
    forks: int
    settings: Settings

    @classmethod
    def of(cls, config: pytest.Config) -> "Options":
        """Read the command line.

        Raises:
            UsageError: options contradict each other, or a number or a shard is none that makes sense.
        """
        given = config.option
        refuse_contradictions(config)
        return cls(
            inventory=given.inventory,
            ansible_inventory=Path(given.ansible_inventory) if given.ansible_inventory else None,
            domain_xml=given.domain_xml,
            nested=Nested(given.nested) if given.nested else None,
            hosts=[part for part in (given.hosts or "").split(",") if part],
            default_scheme=given.connection or "ssh",
            level=TargetLevel(given.level or TargetLevel.AUTO),
            policy=Policy(
                nested=Nested(given.nested or Nested.REQUIRED),
                undeclared=Undeclared(given.undeclared or Undeclared.ANY),
            ),
            report_dir=given.report_dir,
            evidence=given.evidence,
            active=given.active,
            threshold=Threshold(Severity[given.fail_on.upper()], given.gate or given.nagios, given.fail_on_drift),
            nagios=given.nagios,
            waivers=given.waivers,
            baseline=given.baseline,
            shard=None if given.shard is None else parse_shard(given.shard),
            merge=tuple(given.merge or ()),
            forks=given.forks,
            settings=_settings(given),
        )


def _settings(given: object) -> Settings:
    values = vars(given)
    return Settings(
        connect_timeout=values["connect_timeout"],
        probe_timeout=values["probe_timeout"],
        ssh_config=Path(values["ssh_config"]) if values["ssh_config"] else None,
        ssh_identity_file=Path(values["ssh_identity_file"]) if values["ssh_identity_file"] else None,
        sudo=bool(values["sudo"] or values["sudo_user"]),
        sudo_user=values["sudo_user"],
    )
