"""What nobody thought of costs the one target that it happens with."""

from pathlib import Path

import pytest

from nested_kvm.connection import Settings
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.collector import Connections, collect
from nested_kvm.evidence.pace import Pace
from nested_kvm.inventory.ad_hoc import ad_hoc_inventory
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Policy
from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.schema import assert_valid
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite

DEEP = """\
#!/bin/sh
case "$*" in
    *list*) echo 3f0c7d1e-3f6b-4f0e-8a43-1c6f5f0d2b11 ;;
    *dumpxml*) awk 'BEGIN {
        printf "<domain type=\\"kvm\\"><name>deep</name>"
        for (i = 0; i < 20000; i++) printf "<cpu>"
        for (i = 0; i < 20000; i++) printf "</cpu>"
        print "</domain>"
    }' ;;
esac
"""
"""A virsh whose answer no recursion survives."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, start_sshd: SshdFactory) -> SuiteRun:
    """A host with that virsh, without libvirt's other ways in, and a healthy guest."""
    folder = tmp_path_factory.mktemp("defects")
    hidden = "".join(f"mount --bind /dev/null {path}\n" for path in other_ways())
    host, guest = start_sshd(prelude=f"{PLAIN_GUEST}{hidden}"), start_sshd(prelude=PLAIN_GUEST)
    host.add_program("virsh", DEEP)
    config = ssh_config(folder, {"host": host, "guest": guest})
    hosts = "  host: {address: 'ssh://host', level: L0}\n  guest: {address: 'ssh://guest', level: L1}\n"
    (folder / "fleet.yaml").write_text(f"policy: {{nested: forbidden, undeclared: required}}\nhosts:\n{hosts}")
    return run_suite(f"--inventory={folder}/fleet.yaml", f"--ssh-config={config}", report_dir=folder / "reports")


def other_ways() -> list[Path]:
    places = [Path(folder, name) for folder in ("/usr/bin", "/bin") for name in ("virt-ssh-helper", "nc")]
    return sorted({path.resolve() for path in places if path.exists()})


@pytest.mark.needs("sshd", "accounts")
def test_xml_that_is_nested_too_deeply_costs_that_domain_only(run: SuiteRun) -> None:
    assert run.target("host")["observed"]
    assert run.target("guest")["observed"]
    assert run.outcomes("guest")["L1-CPU-01"] == "pass"
    (record,) = run.evidence("host")["libvirt"]["domains"]
    assert "the domain's XML is nested too deeply" in record["problem"]
    assert run.outcomes(record["name"])["DOM-CPU-02"] == "error"
    assert_valid(run)


def test_a_defect_of_the_suite_is_an_error_of_the_target_that_it_happened_with() -> None:
    no_number = Settings(answer_limit=None)  # type: ignore[arg-type]  # so that looking at the target breaks
    inventory = ad_hoc_inventory(["local://", "ssh://127.0.0.1:1"], TargetLevel.L1, Policy())
    bundles: dict[str, Bundle] = {}
    collect(
        inventory,
        Connections(inventory, no_number),
        no_number,
        Pace(2),
        lambda each: bundles.update({each.target.name: each}),
    )
    failure = bundles["localhost"].failure
    assert failure is not None
    assert failure.kind == "TypeError"
    assert failure.message.startswith("localhost: internal error while inspecting it: TypeError: ")
    assert "Connection refused" in str(bundles["127.0.0.1:1"].failure)
