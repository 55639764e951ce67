"""The command line: the audit's options, and the settings that result from them."""

import argparse
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from nested_kvm.connection import Settings
from nested_kvm.evidence.pace import START
from nested_kvm.fleet.candidate import DOMAIN_XML
from nested_kvm.inventory.ad_hoc import DEFAULT_LIBVIRT, libvirt_of_option
from nested_kvm.inventory.shard import Shard, parse_shard
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Nested, Policy, Undeclared
from nested_kvm.plugin.duration import parse_duration
from nested_kvm.plugin.option_conflicts import check_options
from nested_kvm.results.run import Threshold
from nested_kvm.util.files import given_path

DEFAULT_INVENTORY = "inventories/local.yaml"
AUTO: Final = "auto"
GATE_MAX_AGE = timedelta(hours=24)
"""How old the evidence may be on which a gate decides, unless `--max-age` is given."""


def _forks(word: str) -> int | None:
    """The number of targets at once; None: `auto`."""
    return None if word == AUTO else int(word)


_forks.__name__ = "number"
"""What argparse calls it where it refuses a word."""


def add_options(parser: pytest.Parser) -> None:
    """Add the audit's options to pytest's. Testinfra's own keep their meaning."""
    group = parser.getgroup("nested KVM compliance", "nested KVM compliance (write --name=value)")
    _add_what_is_audited(group)
    _add_what_is_evaluated(group)
    _add_what_counts(group)
    _add_trust(group)
    _add_several_controllers(group)
    _add_how_it_is_reached(group)
    group.addoption("--controls", action="store_true", help="list the controls and exit")


def _add_what_is_audited(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--inventory",
        type=given_path,
        metavar="FILE",
        help="the fleet, in YAML, or a cluster's own list of it; --hosts then takes glob patterns of its names"
        f" (default: {DEFAULT_INVENTORY})",
    )
    group.addoption(
        "--level",
        choices=[level.value for level in TargetLevel],
        help="without an inventory: the level of each target. auto: L1 if its CPUs have the `hypervisor` flag, else L0",
    )
    group.addoption(
        "--nested",
        choices=[nested.value for nested in Nested],
        help="without an inventory, or with --candidate: the policy (default: required)",
    )
    group.addoption(
        "--undeclared",
        choices=[undeclared.value for undeclared in Undeclared],
        help="without an inventory: the policy for the domains found there (default: any, informational only)",
    )
    group.addoption(
        "--advisories",
        type=given_path,
        metavar="FILE",
        help="advisories of kernels, in YAML: added to the packaged ones, or in place of those of the same id",
    )
    group.addoption(
        "--libvirt",
        metavar="URI",
        help=f"without an inventory: the libvirt of each host; none: there is none (default: {DEFAULT_LIBVIRT})",
    )


def _add_what_is_evaluated(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--evidence",
        type=given_path,
        metavar="PATH",
        help="evaluate saved evidence, or a support archive such as a sosreport, instead of connecting to targets",
    )
    group.addoption(
        "--max-age",
        metavar="DURATION",
        help="with --evidence: older evidence is an error, e.g. 90m, 36h, 7d (default: 24h with --gate, else no "
        "limit); with --since: a target with older evidence is inspected again (default: 24h); with --merge: runs of "
        "targets that were observed earlier are refused (default as with --evidence)",
    )
    group.addoption(
        "--since",
        type=given_path,
        metavar="RESULTS.json",
        help="inspect only targets that can have changed since this run with --since, by a digest of cheap readings; "
        "of the others its evidence is evaluated",
    )
    group.addoption(
        "--since-in-gate",
        action="store_true",
        help="with --gate or --nagios: allow --since, although the evidence of unchanged targets is an earlier run's",
    )
    group.addoption(
        "--active",
        action="store_true",
        help="boot a tiny test VM (L2) in each guest that must nest, and have each host's libvirt and QEMU say what "
        "the CPU definitions give; with --candidate only the latter, about the candidates (default: start nothing)",
    )
    group.addoption(
        "--active-on-xen",
        action="store_true",
        help="with --active: also in guests of Xen, where an L2 under KVM can crash the whole guest",
    )
    group.addoption(
        "--domain-xml",
        type=given_path,
        metavar="FILE",
        help="as --candidate, for one file of libvirt's domain XML",
    )
    group.addoption(
        "--candidate",
        action="append",
        type=given_path,
        metavar="FILE",
        help="check only the guests that this file or folder defines, as if they were deployed on each L0: domain XML, "
        "KubeVirt, Proxmox VE, Incus, a Terraform plan, nova.conf, virt-install, a kcli plan; repeat the option for "
        "each",
    )


def _add_what_counts(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--report-dir",
        type=given_path,
        default=Path("reports"),
        metavar="DIR",
        help="where each run keeps its reports (default: reports/)",
    )
    group.addoption(
        "--gate",
        action="store_true",
        help="strict: errors and unknowns also fail; one verdict line per target (--nagios: the same, in the format of "
        "a Nagios or Icinga plugin)",
    )
    group.addoption(
        "--fail-on",
        choices=[str(severity) for severity in Severity],
        default=str(Severity.LOW),
        help="the lowest severity that makes the run fail (default: low)",
    )
    group.addoption(
        "--waivers",
        type=given_path,
        metavar="FILE",
        help="accepted findings, in YAML: each with control, target, reason, approver, and `expires` or `permanent`",
    )
    group.addoption(
        "--baseline",
        type=given_path,
        metavar="RESULTS.json",
        help="an earlier run to compare with: findings are new, persisting, fixed or gone",
    )
    group.addoption("--fail-on-drift", action="store_true", help="with --baseline: only new findings make the run fail")


def _add_trust(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--sign-with",
        type=given_path,
        metavar="KEY",
        help="sign the digests of all reports and evidence with this SSH key; `nested-kvm verify` verifies them",
    )
    group.addoption(
        "--allowed-signers",
        type=given_path,
        metavar="FILE",
        help="refuse every run that is read (--evidence, --since, --merge, --baseline) unless one of these signed "
        "it; the file is as ssh-keygen(1) describes it",
    )


def _add_several_controllers(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--shard",
        metavar="K/N",
        help="audit part K of N of the fleet, the same targets every time; guests stay with their host, and hosts with "
        "their group",
    )
    group.addoption(
        "--merge",
        action="append",
        type=given_path,
        metavar="DIR",
        help="merge several runs (e.g. shards) into one report; DIR contains a run's results.json, repeat the option "
        "for each",
    )


def _add_how_it_is_reached(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--forks",
        type=_forks,
        default=START,
        metavar="N|auto",
        help=f"targets observed in parallel (default: {START}); auto: as many as this machine and the targets allow",
    )
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
    candidates: tuple[tuple[str, Path], ...]
    """The files that define guests which are not deployed yet, each with the option that names it."""
    nested: Nested | None
    """As given on the command line."""
    hosts: list[str]
    """Glob patterns with an inventory, Ansible's with one of Ansible's, host specs without."""
    default_scheme: str
    level: TargetLevel
    policy: Policy
    advisories: Path | None
    libvirt: str | None
    """The libvirt URI of targets given by --hosts without an inventory; None: they have none."""
    report_dir: Path
    evidence: Path | None
    max_age: timedelta | None
    """How old saved evidence may be; None: any age, or the default of --since."""
    since: Path | None
    """The results of the run whose evidence is taken for targets that have not changed since."""
    active: bool
    threshold: Threshold
    nagios: bool
    """Answer as a Nagios plugin, with a gate's threshold."""
    waivers: Path | None
    baseline: Path | None
    sign_with: Path | None
    """The SSH key that signs this run; None: it is not signed."""
    allowed_signers: Path | None
    """Who may have signed the runs that are read; None: no signature is required."""
    shard: Shard | None
    """The part of the targets to audit; None: all of them."""
    merge: tuple[Path, ...]
    """Runs to merge; nothing is audited then."""
    forks: int | None
    """None: as many as are possible."""
    settings: Settings

    @classmethod
    def of(cls, config: pytest.Config) -> "Options":
        """Read the command line.

        Raises:
            UsageError: options contradict each other, or a number or a shard is not valid.
        """
        given = config.option
        check_options(config)
        return cls(
            inventory=given.inventory,
            ansible_inventory=given_path(given.ansible_inventory) if given.ansible_inventory else None,
            candidates=tuple(
                [(DOMAIN_XML, given.domain_xml)] * (given.domain_xml is not None)
                + [("--candidate", path) for path in given.candidate or ()]
            ),
            nested=Nested(given.nested) if given.nested else None,
            hosts=[part for part in (given.hosts or "").split(",") if part],
            default_scheme=given.connection or "ssh",
            level=TargetLevel(given.level or TargetLevel.AUTO),
            policy=Policy(
                nested=Nested(given.nested or Nested.REQUIRED),
                undeclared=Undeclared(given.undeclared or Undeclared.ANY),
            ),
            advisories=given.advisories,
            libvirt=libvirt_of_option(given.libvirt),
            report_dir=given.report_dir,
            evidence=given.evidence,
            max_age=_max_age(given),
            since=given.since,
            active=given.active,
            threshold=Threshold(Severity[given.fail_on.upper()], given.gate or given.nagios, given.fail_on_drift),
            nagios=given.nagios,
            waivers=given.waivers,
            baseline=given.baseline,
            sign_with=given.sign_with,
            allowed_signers=given.allowed_signers,
            shard=None if given.shard is None else parse_shard(given.shard),
            merge=tuple(given.merge or ()),
            forks=given.forks,
            settings=_settings(given),
        )


def _max_age(given: argparse.Namespace) -> timedelta | None:
    if given.max_age is not None:
        return parse_duration("--max-age", given.max_age)
    return GATE_MAX_AGE if given.gate or given.nagios else None


def _settings(given: object) -> Settings:
    values = vars(given)
    return Settings(
        active_on_xen=values["active_on_xen"],
        connect_timeout=values["connect_timeout"],
        probe_timeout=values["probe_timeout"],
        ssh_config=Path(values["ssh_config"]) if values["ssh_config"] else None,
        ssh_identity_file=Path(values["ssh_identity_file"]) if values["ssh_identity_file"] else None,
        sudo=bool(values["sudo"] or values["sudo_user"]),
        sudo_user=values["sudo_user"],
    )
