"""One audit: its targets, observed once, and the facts that checks evaluate."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from nested_kvm.connection import Host
from nested_kvm.errors import EvidenceUnusable, NotObserved, SignatureRefused, UsageError
from nested_kvm.evidence.age import within_age
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import unusable_bundle
from nested_kvm.evidence.collector import Connections, collect
from nested_kvm.evidence.pace import Pace
from nested_kvm.evidence.past_run import input_digests, past_run
from nested_kvm.evidence.saved import archives_in, is_archive, read_saved, refuse_run_folder
from nested_kvm.facts.advisories.advisory_file import PACKAGED, load_advisories, packaged_advisories
from nested_kvm.fleet.candidate import Candidates, candidates_of, definition_paths, read_definition, require_guests
from nested_kvm.fleet.estates.load import DeclaredFleet, ReadCluster, load_fleet
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.inventory.ad_hoc import ad_hoc_inventory
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.ansible import load_ansible_inventory
from nested_kvm.inventory.estate import ESTATE_FILE
from nested_kvm.inventory.shard import FleetShard, fleet_digest, split
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.advisory import Advisories
from nested_kvm.plugin.options import DEFAULT_INVENTORY, Options
from nested_kvm.results.inputs import Input, InputKind, Inputs
from nested_kvm.results.run import TargetResult
from nested_kvm.results.signed_run import signed_files
from nested_kvm.util.home import HOME

if TYPE_CHECKING:
    from nested_kvm.evidence.since import EarlierRun


class Audit:
    """The targets of one run. Before `observe`, no target of `fleet` was inspected."""

    def __init__(self, options: Options, root: Path) -> None:
        self.options = options
        self.candidates: Candidates | None = None
        self.inputs = Inputs()
        self.advisories = self._read_advisories()
        self.inventory, self._saved, declared = _choose(options, root, self.inputs)
        self._whole, self._defined = declared.inventory, declared.by_host
        self.cluster = declared.cluster
        """What was read of a live cluster; None: the inventory names none."""
        if options.candidates:
            self.candidates = self._read_candidates()
            self.inventory = _hosts_of(self.inventory, options.candidates[0][0])
        self.shard = self._split()
        self.connections = Connections(self._whole, options.settings)
        self._earlier = self._read_earlier()
        reached = sum(target.address is not None for target in self.inventory)
        self.pace = Pace.automatic(reached) if options.forks is None else Pace(options.forks)
        self._machines: dict[str, Machine] = {}
        """Of each target that was observed, or tried."""
        self.fleet = self._fleet()

    def _read_advisories(self) -> Advisories:
        self.inputs.note_file(InputKind.ADVISORIES, PACKAGED, "the packaged advisories")
        given = self.options.advisories
        if given is None:
            return packaged_advisories()
        return self.inputs.read(InputKind.ADVISORIES, given, load_advisories)

    def _read_candidates(self) -> Candidates:
        given = self.options
        paths = [(option, path) for option, named in given.candidates for path in definition_paths(option, named)]
        files = [
            (option, self.inputs.read(InputKind.CANDIDATE, path, partial(read_definition, option)))
            for option, path in paths
        ]
        found = require_guests(candidates_of(files, given.nested))
        found = found.to_be_asked if given.active else found
        guests = [each for each in self._whole if each.host is not None]
        declared = {(str(each.host), each.domain or each.name): each.policy for each in guests}
        of_estate = (each for each in guests if each.domain in self._defined.get(str(each.host), {}))
        declared |= {(str(each.host), each.name): each.policy for each in of_estate}
        return replace(found, declared={key: policy for key, policy in declared.items() if key[1] in found.names})

    def _read_earlier(self) -> "EarlierRun | None":
        """The run whose evidence is taken for targets that have not changed since."""
        given = self.options
        if given.since is None:
            return None
        from nested_kvm.evidence.since import DEFAULT_MAX_AGE, earlier_run  # noqa: PLC0415 - costs what only --since may cost

        run, read = earlier_run(given.since, given.max_age or DEFAULT_MAX_AGE, self.names, given.allowed_signers)
        self.inputs.note(read)
        return run

    def _split(self) -> FleetShard | None:
        given = self.options.shard
        if given is None:
            return None
        digest = fleet_digest(target.name for target in self.inventory)
        self.inventory = split(self.inventory, given)
        return FleetShard(given.number, given.of, digest)

    def observe(self, when_observed: Callable[[Machine], None], *, keep_open: bool = True) -> None:
        """Observe every target, or read its saved evidence, and call `when_observed` for each, also without an address.

        With `keep_open` the connections stay for `host`.
        """

        def keep(bundle: Bundle) -> None:
            machine = self._machines[bundle.target.name] = self._machine(bundle)
            when_observed(machine)

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
                    self.pace,
                    keep,
                    active=given.active,
                    questions=None if self.candidates is None else self.candidates.questions,
                    earlier=self._earlier,
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
            found = self._machines.get(target.name)
            yield _unobserved(target) if found is None else found.bundle

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
        """Every target of the run, with whether it was observed and when."""
        return [target_result(bundle) for bundle in self.bundles()]

    @property
    def declared(self) -> Inventory:
        """The whole inventory, also what `--hosts` and `--shard` leave out."""
        return self._whole

    @property
    def is_live(self) -> bool:
        """Whether targets are connected to; else their saved evidence is evaluated."""
        return self._saved is None

    def _machine(self, bundle: Bundle) -> Machine:
        candidates = None if self.candidates is None else self.candidates.by_name
        return Machine(bundle, candidates, self.advisories, self._defined.get(bundle.target.name))

    def _fleet(self) -> Fleet:
        found = (self._machines.get(each.name) or self._machine(_unobserved(each)) for each in self.inventory)
        return Fleet(found, self._whole, self.candidates)

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


def _choose(options: Options, root: Path, inputs: Inputs) -> tuple[Inventory, dict[str, Bundle] | None, DeclaredFleet]:
    """The targets of this run, the saved evidence of each, and the whole inventory that they come from."""
    saved = None if options.evidence is None else _saved(options.evidence, options.allowed_signers, inputs)
    if options.inventory is not None:
        declared = _loaded(options.inventory, inputs, options)
    elif options.ansible_inventory is not None:
        whole, chosen = inputs.read(
            InputKind.INVENTORY, options.ansible_inventory, lambda path: load_ansible_inventory(path, options.hosts)
        )
        return chosen, saved, DeclaredFleet(whole)
    elif saved is not None:
        targets = _hosts_first([each.target for each in saved.values()])
        declared = DeclaredFleet(Inventory(f"--evidence={options.evidence}", targets))
    elif options.hosts:
        whole = ad_hoc_inventory(
            options.hosts, options.level, options.policy, options.default_scheme, libvirt=options.libvirt
        )
        return whole, None, DeclaredFleet(whole)
    else:
        declared = _loaded(_default_inventory(root), inputs, options)
        declared = replace(declared, inventory=replace(declared.inventory, source=DEFAULT_INVENTORY))
    whole = declared.inventory
    return (whole.select(options.hosts) if options.hosts else whole), saved, declared


def _loaded(path: Path, inputs: Inputs, options: Options) -> DeclaredFleet:
    recorded = None if options.evidence is None else options.evidence.resolve().parent / ESTATE_FILE
    declared = inputs.read(InputKind.INVENTORY, path, partial(load_fleet, recorded=recorded))
    if declared.estate is not None:
        inputs.note_file(InputKind.INVENTORY, declared.estate, str(declared.estate))
    if declared.cluster is not None:
        inputs.note(_input_of(declared.cluster, options))
    return declared


def _input_of(cluster: ReadCluster, options: Options) -> Input:
    """The objects of a cluster as an input of the run.

    Raises:
        UsageError: those of an earlier run are not as it recorded or signed them, or their age counts and is not known.
    """
    digest = sha256(cluster.text.encode()).hexdigest()
    if cluster.recorded is None:
        return Input(InputKind.INVENTORY, cluster.source, digest)
    name = str(cluster.recorded)
    recorded = input_digests(cluster.recorded)
    if recorded is None and options.max_age is not None:
        raise UsageError(f"--evidence: how old {name} is, is not known: keep the results.json of its run beside it")
    if recorded is not None and digest not in recorded:
        raise UsageError(f"--evidence: {name} is not as results.json beside it records")
    if options.allowed_signers is None:
        return Input(InputKind.INVENTORY, name, digest)
    try:
        signed = signed_files(cluster.recorded.parent, options.allowed_signers)
        signed.require(ESTATE_FILE, digest)
    except SignatureRefused as error:
        raise UsageError(f"--evidence: {error}") from None
    return Input(InputKind.INVENTORY, name, digest, signed.signer)


def _default_inventory(root: Path) -> Path:
    """The one of the working folder, else the one that comes with the package: this machine."""
    own = root / DEFAULT_INVENTORY
    return own if own.exists() else HOME / DEFAULT_INVENTORY


def _saved(directory: Path, allowed_signers: Path | None, inputs: Inputs) -> dict[str, Bundle]:
    """The saved evidence by target; a target of the run that left it, without a file, could not be observed.

    Where that run recorded digests, a file that was changed or added is an error of its target.
    """
    refuse_run_folder(directory)
    if is_archive(directory) and allowed_signers is not None:
        raise UsageError(
            f"--evidence: {directory} is a support archive, which no one signs: leave out --allowed-signers"
        )
    past = None if is_archive(directory) else past_run(directory, allowed_signers)
    saved = {each.target.name: each for each in read_saved(directory, None if past is None else past.written)}
    for path in archives_in(directory):
        digests = {each.file_sha256 for each in saved.values() if each.origin and each.origin.file == path.name}
        inputs.note(Input(InputKind.EVIDENCE, str(path), next(iter(digests), None)))
    if past is None:
        return saved
    inputs.note(Input(InputKind.EVIDENCE, str(past.results), past.sha256, past.signed_by))
    for target in past.targets:
        if target.name not in saved:
            missing = EvidenceUnusable(f"{target.name}: its evidence file is missing from {directory}")
            saved[target.name] = unusable_bundle(target, missing)
    return saved


def _hosts_of(inventory: Inventory, option: str) -> Inventory:
    targets = tuple(each for each in inventory if each.host is None and each.level is not TargetLevel.L1)
    if not targets:
        raise UsageError(f"{option}: none of these targets is an L0")
    return replace(inventory, targets=targets)


def _hosts_first(targets: list[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: (target.host or target.name, target.host is not None, target.name)))


def _unobserved(target: Target) -> Bundle:
    error = NotObserved(f"{target.name}: the run ended before it was observed")
    bundle = unusable_bundle(target, error)
    return replace(bundle, failure=None) if target.address is None else bundle


def target_result(bundle: Bundle) -> TargetResult:
    """A target as a run records it: whether it was observed, and when."""
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
        incremental=bundle.incremental,
    )
