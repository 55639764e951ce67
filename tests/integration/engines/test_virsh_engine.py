"""An L0 whose domains an engine's probe asks virsh for, judged as a direct run judges it by libvirt's RPC."""

import subprocess

import pytest

from nested_kvm.evidence.probe import readable_probe
from tests.support.estate import import_answers, undated_targets
from tests.support.libvirt_node import NAMED_MODEL, Definition, write_node
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("libvirt-python", "virsh")

DOMAINS = (Definition("ci-1"), Definition("named", NAMED_MODEL), Definition("off", runs=False), Definition("<b>"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[SuiteRun, SuiteRun]:
    """A direct run over this machine, and one over what its probe printed into a file."""
    folder = tmp_path_factory.mktemp("libvirt")
    uri = write_node(folder / "node.xml", *DOMAINS)
    fleet = folder / "fleet.yaml"
    fleet.write_text(
        f"hosts:\n  here:\n    address: local://\n    level: L0\n    libvirt: '{uri}'\n    undeclared: required\n"
        "    guests: {ci-1: {}, gone: {}}\n"
    )
    direct = run_suite(f"--inventory={fleet}", report_dir=folder / "direct")
    probe = ["sh", "-s", "--", "", "10", "always", uri]
    (folder / "answers").mkdir()
    answer = subprocess.run(probe, input=readable_probe().encode(), capture_output=True, check=True).stdout
    (folder / "answers" / "here").write_bytes(answer)
    words = ["--from=files", f"--inventory={fleet}", f"--to={folder}/evidence", folder / "answers"]
    ended = import_answers(folder, *words)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return direct, run_suite(f"--evidence={folder}/evidence", report_dir=folder / "judged")


def test_every_domain_has_the_same_outcomes_and_messages(runs: tuple[SuiteRun, SuiteRun]) -> None:
    direct, judged = runs
    assert direct.evidence("here")["libvirt"]["means"] == "libvirt"
    assert judged.evidence("here")["libvirt"]["means"] == "virsh"
    for name in ("here", "ci-1", "gone", "named", "off", "<b>"):
        assert judged.outcomes(name) == direct.outcomes(name)
        assert judged.messages(name) == direct.messages(name)
    assert undated_targets(judged) == undated_targets(direct)
    assert judged.document["diagnoses"] == direct.document["diagnoses"]
    assert judged.status == direct.status


def test_virshs_xml_is_reduced_before_it_is_kept(runs: tuple[SuiteRun, SuiteRun]) -> None:
    _, judged = runs
    evidence = judged.evidence("here")
    assert [each["source"] for each in evidence["readings"] if each["source"].startswith("virsh")] == []
    assert {each["name"] for each in evidence["libvirt"]["domains"]} == {each.name for each in DOMAINS}
    assert not [each for each in evidence["libvirt"]["domains"] if "<memory" in each["inactive_xml"]]
