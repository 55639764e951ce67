"""Evidence files: what is written is read again, and what is none is refused by name."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import EvidenceUnusable, UsageError
from nested_kvm.evidence.age import CLOCK_SKEW, age_of
from nested_kvm.evidence.bundle import Bundle, DomainRecord, Failure, LibvirtAnswer, SavedState
from nested_kvm.evidence.bundle_file import read_bundle, read_bundles, write_bundle
from nested_kvm.evidence.pending import announce
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Nested, Persistence, Policy, Undeclared

_target = Target(
    "ci-1",
    TargetLevel.L1,
    Address.parse("ssh://root@[fe80::1]:2222"),
    Policy(Nested.FORBIDDEN, Persistence.EXPLICIT, Undeclared.REQUIRED),
    host="kvm-a",
    domain="ci 1",
    via_host=True,
    libvirt="qemu:///session",
    account="dev",
    group="amd",
)
_bundle = Bundle(
    _target,
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "9.9",
    {
        each.source: each
        for each in (Reading("/x", Status.OK, "ä\n\0", link="y"), Reading("id -u", Status.FAILED, "", 1))
    },
    "dmesg",
    LibvirtAnswer(
        "qemu:///system",
        "virsh",
        domains=(
            DomainRecord(
                "d", "u", "running", is_persistent=True, inactive_xml="<domain/>", saved_states=(SavedState("s"),)
            ),
        ),
    ),
)
_text = st.text(max_size=30)


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    for bundle in (_bundle, replace(_bundle, failure=Failure("ConnectionFailed", "no way"), libvirt=None, cut=None)):
        assert read_bundle(write_bundle(tmp_path, bundle)) == bundle


def test_a_target_without_an_address_comes_back(tmp_path: Path) -> None:
    bundle = replace(_bundle, target=replace(_target, address=None))
    assert read_bundle(write_bundle(tmp_path, bundle)) == bundle


@given(_text, _text, st.sampled_from(Status))
def test_any_reading_comes_back_as_it_was(source: str, text: str, status: Status) -> None:
    with TemporaryDirectory() as folder:
        bundle = replace(_bundle, readings={source: Reading(source, status, text)})
        assert read_bundle(write_bundle(Path(folder), bundle)).readings == bundle.readings


@given(st.lists(st.text(min_size=1, max_size=120), min_size=1, max_size=3, unique=True))
def test_no_name_leads_out_of_the_directory_or_onto_another(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder, "evidence")
        directory.mkdir()
        for name in names:
            write_bundle(directory, replace(_bundle, target=replace(_target, name=name)))
        assert sorted(bundle.target.name for bundle in read_bundles(directory)) == sorted(names)
        assert [path.name for path in Path(folder).iterdir()] == ["evidence"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not evidence"),
        (b"\xff\x00", "is not evidence"),
        (b"[]", "is not evidence"),
        (b"{}", "is not evidence"),
        (
            b'{"schema": "nested-kvm-compliance/evidence/2"}',
            "schema: Input should be 'nested-kvm-compliance/evidence/1'",
        ),
        (b"[" * 100_000, "is not evidence"),
    ],
)
def test_what_is_no_evidence_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "kvm-a.json"
    path.write_bytes(content)
    with pytest.raises(EvidenceUnusable, match=f"kvm-a.json .*{message}"):
        read_bundle(path)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_a_source_given_twice_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, _bundle)
    changed(path, lambda document: document["readings"].append({**document["readings"][0], "text": "other"}))
    with pytest.raises(EvidenceUnusable, match=r"^ci-1\.json: has /x twice"):
        read_bundle(path)


def test_a_file_cannot_make_its_policy_not_binding(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, _bundle)
    changed(path, lambda document: document["target"]["policy"].update(binding=False))
    assert json.loads(path.read_text())["target"]["policy"]["binding"] is False
    assert read_bundle(path) == _bundle


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        ("2999-01-02T03:04:05Z", r"was observed in the future, at 2999-01-02T03:04:05\+00:00"),
        ("2026-01-02T03:04:05", "observed: Input should have timezone info"),
        ("yesterday", "observed: "),
        (None, "observed: "),
    ],
    ids=["future", "no zone", "a word", "none"],
)
def test_evidence_of_unknown_age_is_refused(tmp_path: Path, observed: str | None, reason: str) -> None:
    path = changed(write_bundle(tmp_path, _bundle), lambda document: document.update(observed=observed))
    with pytest.raises(EvidenceUnusable, match=reason):
        read_bundle(path)


def test_the_age_of_a_bundle_is_never_negative() -> None:
    observed = _bundle.observed_at
    assert age_of(_bundle, observed + timedelta(days=2)) == timedelta(days=2)
    assert age_of(_bundle, observed - CLOCK_SKEW) == timedelta(0)
    with pytest.raises(EvidenceUnusable, match="in the future"):
        age_of(_bundle, observed - CLOCK_SKEW - timedelta(seconds=1))


def test_only_its_owner_may_read_an_evidence_file(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        path = write_bundle(tmp_path, _bundle)
        path = write_bundle(tmp_path, _bundle)
        announce(tmp_path, Inventory("fleet", (_target,)))
    finally:
        os.umask(previous)
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {
        path.name: 0o600,
        "targets.pending": 0o600,
    }


def test_a_fifo_among_the_evidence_is_an_error_of_its_target(tmp_path: Path) -> None:
    write_bundle(tmp_path, _bundle)
    os.mkfifo(tmp_path / "kvm-a.json")
    whole, fifo = read_bundles(tmp_path)
    assert whole == _bundle
    assert fifo.failure == Failure("EvidenceUnusable", "kvm-a.json cannot be read: is not a regular file")


def test_one_unusable_file_spoils_no_other(tmp_path: Path) -> None:
    write_bundle(tmp_path, _bundle)
    (tmp_path / "broken.json").write_text("{")
    broken, whole = read_bundles(tmp_path)
    assert (broken.target.name, broken.is_observed) == ("broken", False)
    assert whole == _bundle


def test_a_directory_without_evidence_is_nothing_to_audit(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="--evidence"):
            list(read_bundles(directory))
