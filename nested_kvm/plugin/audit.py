"""One audit: its targets, observed once, and the facts that checks evaluate."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nested_kvm.connection import Host
from nested_kvm.errors import EvidenceUnusable, NotObserved, UsageError
from nested_kvm.evidence.age import within_age
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import unusable_bundle
from nested_kvm.evidence.collector import Connections, WhenObserved, collect
from nested_kvm.evidence.pending import read_evidence
from nested_kvm.evidence.run_targets import targets_of_run
from nested_kvm.fleet.candidate import Candidate, read_candidate
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.inventory.ad_hoc import ad_hoc_inventory
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.ansible import load_ansible_inventory
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.shard import FleetShard, fleet_digest, split
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.plugin.options import DEFAULT_INVENTORY, Options
from nested_kvm.results.run import TargetResult


class Audit:
    """The targets of one run. Before `observe`, no target of `fleet` was inspected."""

    def __init__(self, options: Options, root: Path) -> None:
        self.options = options
        self.candidate: Candidate | None = None
        self.inventory, self._whole, self._saved = _choose(options, root)
        if options.domain_xml is not None:
            candidate = read_candidate(options.domain_xml, options.nested)
            named = (each for each in self._whole if each.host and each.domain == candidate.name)
            self.candidate = replace(candidate, declared={str(each.host): each.policy for each in named})
            self.inventory = _hosts_of(self.inventory)
        self.shard = self._split()
        self.connections = Connections(self._whole, options.settings)
        self._bundles: dict[str, Bundle] = {}
        self.fleet = self._fleet()

    def _split(self) -> FleetShard | None:
        given = self.options.shard
        if given is None:
            return None
        digest = fleet_digest(target.name for target in self.inventory)
        self.inventory = split(self.inventory, given)
        return FleetShard(given.number, given.of, digest)

    def observe(self, when_observed: WhenObserved, *, keep_open: bool = True) -> None:
        """Observe every target, or read its saved evidence, and call `when_observed` for each, also without an address.

        With `keep_open` the connections stay for `host`.
        """

        def keep(bundle: Bundle) -> None:
            self._bundles[bundle.target.name] = bundle
            when_observed(bundle)

        for target in self.inventory:
            if target.address is None:
                keep(_unobserved(target))
        try:
            if self._saved is not None:
                for bundle in self._from_saved(self._saved):
                    keep(bundle)
            else:
                given = self.options
                collect(
                    self.inventory,
                    self.connections,
                    given.settings,
                    given.forks,
                    keep,
                    active=given.active,
                    keep_open=keep_open,
                )
        finally:
            self.fleet = self._fleet()

    def addresses(self) -> list[Address]:
        """The addresses that may need a login: of every target, and of the host of each that is reached through it."""
        reached = [target for target in self.inventory if target.address is not None]
        hosts = [self._whole.named(target.host) for target in reached if target.needs_host and target.host]
        return [each.address for each in (*reached, *hosts) if each is not None and each.address is not None]

    def bundles(self) -> Iterator[Bundle]:
        """One bundle for each target, in the inventory's order."""
        for target in self.inventory:
            yield self._bundles.get(target.name) or _unobserved(target)

    def host(self, target: Target) -> Host:
        """Testinfra's view of a target, over the connection that carried the probe.

        Raises:
            ObservationError: there is no connection.
        """
        if self._saved is not None:
            raise NotObserved("this run evaluates saved evidence: there is no connection to the target")
        return self.connections.get(target).host

    @property
    def names(self) -> frozenset[str]:
        """Names of all targets of the inventory, also of those that `--hosts` and `--shard` leave out."""
        return frozenset(target.name for target in self._whole)

    def targets(self) -> list[TargetResult]:
        """Whether each target was observed."""
        return [_target_result(bundle) for bundle in self.bundles()]

    def _fleet(self) -> Fleet:
        domain = None if self.candidate is None else self.candidate.domain
        return Fleet((Machine(bundle, domain) for bundle in self.bundles()), self._whole, self.candidate)

    def _from_saved(self, saved: dict[str, Bundle]) -> Iterator[Bundle]:
        for target in self.inventory:
            if target.address is None:
                continue
            bundle = saved.get(target.name)
            if bundle is not None:
                level = bundle.target.level if target.level == "auto" else target.level
                declared = replace(bundle, target=replace(target, level=level))
                yield within_age(declared, self.options.max_age, datetime.now(UTC))
            else:
                yield unusable_bundle(target, EvidenceUnusable(f"--evidence has no file for {target.name}"))


def _choose(options: Options, root: Path) -> tuple[Inventory, Inventory, dict[str, Bundle] | None]:
    """The targets of this run, the whole inventory they come from, and the saved evidence of each."""
    saved = None if options.evidence is None else _saved(options.evidence)
    if options.inventory is not None:
        whole = load_inventory(options.inventory)
    elif options.ansible_inventory is not None:
        whole, chosen = load_ansible_inventory(options.ansible_inventory, options.hosts)
        return chosen, whole, saved
    elif saved is not None:
        whole = Inventory(f"--evidence={options.evidence}", _hosts_first([each.target for each in saved.values()]))
    elif options.hosts:
        whole = ad_hoc_inventory(options.hosts, options.level, options.policy, options.default_scheme, options.libvirt)
        return whole, whole, None
    else:
        whole = replace(load_inventory(root / DEFAULT_INVENTORY), source=DEFAULT_INVENTORY)
    return (whole.select(options.hosts) if options.hosts else whole), whole, saved


def _saved(directory: Path) -> dict[str, Bundle]:
    """The saved evidence by target; a target of the run that left it, without a file, could not be observed."""
    saved = {each.target.name: each for each in read_evidence(directory)}
    for target in targets_of_run(directory):
        if target.name not in saved:
            missing = EvidenceUnusable(f"{target.name}: its evidence file is missing from {directory}")
            saved[target.name] = unusable_bundle(target, missing)
    return saved


def _hosts_of(inventory: Inventory) -> Inventory:
    targets = tuple(each for each in inventory if each.host is None and each.level is not TargetLevel.L1)
    if not targets:
        raise UsageError("--domain-xml: none of these targets is an L0")
    return replace(inventory, targets=targets)


def _hosts_first(targets: list[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: (target.host or target.name, target.host is not None, target.name)))


def _unobserved(target: Target) -> Bundle:
    error = NotObserved(f"{target.name} was not inspected: the run ended before")
    bundle = unusable_bundle(target, error)
    return replace(bundle, failure=None) if target.address is None else bundle


def _target_result(bundle: Bundle) -> TargetResult:
    target = bundle.target
    return TargetResult(
        name=target.name,
        level=target.level,
        host=target.host,
        address=None if target.address is None else target.address.spec,
        observed=bundle.is_observed,
        error=None if bundle.failure is None else bundle.failure.message,
        policy=target.policy,
        observed_at=bundle.observed_at if bundle.readings else None,
    )
