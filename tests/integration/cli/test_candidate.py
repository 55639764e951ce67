"""Would this domain, on these hosts, get the flag? Asked before anything is deployed."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.model.policy import Nested, Policy
from tests.support.recorded import record
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_many, run_suite

INTEL = {
    "/proc/cpuinfo": "processor : 0\nvendor_id : GenuineIntel\nflags : fpu lm vmx ept",
    "/sys/module": "kvm\nkvm_intel",
    "/sys/module/kvm_intel": "initstate=live\nrefcnt=0",
    "/sys/module/kvm_intel/parameters": "nested=Y\nept=Y",
    "/etc/modprobe.d/kvm.conf": "options kvm_intel nested=1",
    "modprobe --show-depends kvm_intel": "insmod /lib/modules/6/kvm-intel.ko nested=1",
    "modinfo --parameters kvm_intel": "nested:(bool)",
}
NESTED_OFF = {"/sys/module/kvm_amd/parameters": "nested=0\nnpt=Y"}


def domain(cpu: str, kind: str = "kvm", name: str = "ci-new") -> str:
    return f"<domain type='{kind}'><name>{name}</name><os><type>hvm</type></os>{cpu}</domain>"


PASSTHROUGH = domain("<cpu mode='host-passthrough'/>")
HOST_MODEL = domain("<cpu mode='host-model'/>")
NAMED = domain("<cpu mode='custom'><model>EPYC</model></cpu>")
EMULATED = domain("<cpu mode='host-passthrough'/>", "qemu")
OPEN = domain("<cpu mode='host-model'><feature policy='optional' name='svm'/></cpu>")
ENCRYPTED = domain("<cpu mode='host-passthrough'/><launchSecurity type='sev'/>")
WITHOUT_MODEL = domain("<cpu><feature policy='require' name='svm'/></cpu>")
FOREIGN = PASSTHROUGH.replace("<type>", "<type arch='aarch64'>")
PAST_LIBVIRT = (
    "<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>ci-new</name>"
    "<cpu mode='host-passthrough'/><q:commandline><q:arg value='-global'/><q:arg value='cpu.svm=off'/>"
    "</q:commandline></domain>"
)
ARM64 = {
    "uname -m": "aarch64",
    "/proc/cpuinfo": "processor : 0\nFeatures : fp asimd",
    "/sys/module": "kvm",
    "/proc/cmdline": "kvm-arm.mode=nested",
    "/proc/sys/kernel/osrelease": "6.17.0",
    "dmesg": "kvm [1]: VHE+NV2 mode initialized successfully",
}

CASES = {
    "passthrough": (PASSTHROUGH, "--hosts=amd", 0, {}),
    "host-model on AMD": (HOST_MODEL, "--hosts=amd", 1, {"DOM-CPU-02": "fail"}),
    "host-model on Intel": (HOST_MODEL, "--hosts=intel", 0, {}),
    "a named model": (NAMED, "--hosts=amd", 1, {"DOM-CPU-02": "fail"}),
    "emulated": (EMULATED, "--hosts=amd", 1, {"DOM-CPU-01": "fail", "DOM-CPU-02": "notapplicable"}),
    "encrypted": (ENCRYPTED, "--hosts=amd", 1, {"DOM-CPU-02": "fail"}),
    "refused by libvirt": (WITHOUT_MODEL, "--hosts=amd", 1, {"DOM-CPU-02": "unknown"}),
    "changed past libvirt": (PAST_LIBVIRT, "--hosts=amd", 1, {"DOM-CPU-02": "unknown"}),
    "of another architecture": (FOREIGN, "--hosts=amd", 1, {"DOM-CPU-02": "unknown"}),
    "on arm64": (PASSTHROUGH, "--hosts=arm", 1, {"DOM-CPU-02": "unknown"}),
    "may be dropped": (OPEN, "--hosts=amd", 1, {"DOM-CPU-02": "unknown", "DOM-CPU-05": "fail"}),
    "nested off on the host": (PASSTHROUGH, "--hosts=off", 1, {"L0-KVM-04": "fail", "DOM-CPU-02": "pass"}),
    "forbidden, and given": (PASSTHROUGH, "--hosts=amd --nested=forbidden", 1, {"DOM-CPU-02": "fail"}),
    "forbidden, and not given": (NAMED, "--hosts=amd --nested=forbidden", 0, {"DOM-CPU-02": "pass"}),
    "on a host of another policy": (PASSTHROUGH, "--hosts=forbids", 0, {"DOM-CPU-02": "pass", "L0-KVM-04": "pass"}),
    "several hosts": (HOST_MODEL, "--hosts=amd,intel", 1, {}),
}
"""A domain, the hosts, the exit status, and outcomes that it has to have on one of them."""

REFUSED = {
    "no file": (None, "No such file or directory"),
    "an empty file": ("", "the domain's XML is not well-formed"),
    "cut": (PASSTHROUGH[:-5], "the domain's XML is not well-formed"),
    "another root": ("<network/>", "the domain's XML starts with <network>, not <domain>"),
    "an entity": (
        "<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='kvm'><name>&a;</name></domain>",
        "the domain's XML is refused: DTDForbidden",
    ),
    "a file of the machine": (
        "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;</name></domain>",
        "the domain's XML is refused: DTDForbidden",
    ),
    "no name": ("<domain type='kvm'/>", "it has no <name> of 1 to 250 visible bytes"),
    "a name of commands": (domain("", name="ci&#x9b;31m"), "it has no <name> of 1 to 250 visible bytes"),
    "a long name": (domain("", name="x" * 251), "it has no <name> of 1 to 250 visible bytes"),
    "nested deeply": ("<domain><name>x</name><cpu>" + "<a>" * 50_000 + "</a>" * 50_000 + "</cpu></domain>", ""),
    "no UTF-8": ("<domain>\udcff</domain>", "is not UTF-8 text"),
    "huge": ("<domain>" + " " * 5_000_000 + "</domain>", "is larger than 4 MiB"),
}
"""A file, and a part of the message."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domain-xml")
    record(folder / "evidence", "amd")
    record(folder / "evidence", "intel", readings=INTEL)
    record(folder / "evidence", "off", readings=NESTED_OFF)
    record(folder / "evidence", "arm", readings=ARM64)
    record(folder / "evidence", "forbids", policy=Policy(Nested.FORBIDDEN))
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> Mapping[str, SuiteRun]:
    lines = []
    for number, (text, options, _, _) in enumerate(CASES.values()):
        path = folder / f"{number}.xml"
        path.write_text(text)
        words = [f"--evidence={folder}/evidence", f"--domain-xml={path}", "--gate", *options.split()]
        lines.append([*words, f"--report-dir={folder}/{number}"])
    ended = run_many(lines, report_dir=folder / "reports")
    return {
        name: SuiteRun(run.status, run.output, run.errors, folder / str(number))
        for number, (name, run) in enumerate(zip(CASES, ended, strict=True))
    }


@pytest.mark.parametrize("name", CASES)
def test_it_is_judged_as_if_it_were_defined_there(runs: Mapping[str, SuiteRun], name: str) -> None:
    run = runs[name]
    _, _, status, outcomes = CASES[name]
    assert run.status == status
    found = {each["control"]: each["outcome"] for each in run.document["results"]}
    assert found.items() >= outcomes.items()
    assert_valid(run)


def test_nothing_else_is_judged(runs: Mapping[str, SuiteRun]) -> None:
    results = runs["passthrough"].document["results"]
    assert {each["subject"] for each in results} == {"ci-new", "amd"}
    assert {each["control"].partition("-")[0] for each in results} == {"DOM", "L0"}
    assert "L0-LIB-01" not in {each["control"] for each in results}


def test_each_host_has_its_verdict(runs: Mapping[str, SuiteRun]) -> None:
    lines = runs["several hosts"].output.splitlines()
    (block,) = [line for line in lines if line.startswith("amd  BLOCK  DOM-CPU-02 svm is not exposed")]
    assert block.endswith(".xml:1)")
    assert "intel  PASS" in lines


def test_the_remedy_is_for_the_file(runs: Mapping[str, SuiteRun], folder: Path) -> None:
    (finding,) = [each for each in runs["host-model on AMD"].document["results"] if each["outcome"] == "fail"]
    (command,) = finding["remediation"]
    assert command.startswith(f"virt-xml --edit --cpu host-model,require=svm <{folder}/")


def test_files_of_several_forms_have_one_verdict_a_guest_and_host(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pve").mkdir()
    (tmp_path / "pve" / "100.conf").write_text("name: by-qemu\ncpu: EPYC,flags=+nested-virt\n")
    domain = {"cpu": {"model": "host-model"}}
    vmi = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "by-kubevirt"}}
    (tmp_path / "vm.json").write_text(json.dumps({**vmi, "spec": {"domain": domain}}))
    words = [f"--evidence={folder}/evidence", "--hosts=amd,intel", "--gate", f"--candidate={tmp_path}/pve"]
    run = run_suite(*words, f"--candidate={tmp_path}/vm.json", report_dir=tmp_path / "reports")
    found = {
        (each["target"], each["subject"]): each["outcome"]
        for each in run.document["results"]
        if each["control"] == "DOM-CPU-02"
    }
    assert run.status == 1
    assert found == {
        ("amd", "by-qemu"): "pass",
        ("intel", "by-qemu"): "unknown",  # it is shown AuthenticAMD there
        ("amd", "by-kubevirt"): "fail",
        ("intel", "by-kubevirt"): "pass",
    }
    assert run.document["run"]["candidates"] == ["by-qemu", "by-kubevirt"]
    (finding,) = [each for each in run.document["results"] if each["outcome"] == "fail"]
    assert finding["evidence"][0]["source"] == f"{tmp_path}/vm.json: spec.domain.cpu.model"
    assert {Path(each["file"]).name for each in run.document["run"]["inputs"]} >= {"100.conf", "vm.json"}
    assert_valid(run)


def test_each_guest_has_the_inventorys_policy(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(domain("<cpu mode='host-passthrough'/>", name="must"))
    (tmp_path / "b.xml").write_text(domain("<cpu mode='host-passthrough'/>", name="must-not"))
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("hosts: {amd: {guests: {must: {nested: required}, must-not: {nested: forbidden}}}}\n")
    words = [f"--inventory={inventory}", f"--evidence={folder}/evidence", f"--candidate={tmp_path}/a.xml"]
    run = run_suite(*words, f"--candidate={tmp_path}/b.xml", report_dir=tmp_path / "reports")
    failed = {each["subject"] for each in run.document["results"] if each["outcome"] == "fail"}
    assert (run.status, failed) == (1, {"must-not"})


def test_files_that_define_no_guest_are_a_usage_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    words = [f"--evidence={folder}/evidence", f"--candidate={tmp_path}/pod.yaml"]
    run = run_suite(*words, report_dir=tmp_path / "reports")
    assert (run.status, "pod.yaml: defines no guest" in run.errors) == (4, True)


@pytest.mark.parametrize(("nested", "status"), [("required", 0), ("forbidden", 1)])
def test_the_inventorys_guest_of_that_name_says_what_is_required(folder: Path, nested: str, status: int) -> None:
    inventory = folder / f"{nested}.yaml"
    guests = f"guests: {{renamed: {{domain: ci-new, nested: {nested}}}}}"
    inventory.write_text(f"hosts: {{amd: {{nested: required, {guests}}}}}\n")
    words = [f"--inventory={inventory}", f"--evidence={folder}/evidence", f"--domain-xml={folder}/0.xml"]
    run = run_suite(*words, report_dir=folder / nested)
    assert (run.status, [each["name"] for each in run.document["targets"]]) == (status, ["amd"])


def test_a_guest_is_no_host(folder: Path) -> None:
    inventory = folder / "guest.yaml"
    inventory.write_text("hosts: {amd: {guests: {ci-1: {address: 'ssh://ci-1'}}}}\n")
    words = [f"--inventory={inventory}", "--hosts=ci-1", f"--domain-xml={folder}/0.xml"]
    run = run_suite(*words, report_dir=folder / "guest")
    assert run.status == 4
    assert "--domain-xml: none of these targets is an L0" in run.errors


@pytest.fixture(scope="module")
def refusals(folder: Path) -> Mapping[str, SuiteRun]:
    lines = []
    for number, (text, _) in enumerate(REFUSED.values()):
        path = folder / f"refused-{number}.xml"
        if text is not None:
            path.write_bytes(text.encode(errors="surrogateescape"))
        lines.append([f"--evidence={folder}/evidence", f"--domain-xml={path}"])
    return dict(zip(REFUSED, run_many(lines, report_dir=folder / "refused"), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_domain_ends_with_4_and_names_the_file(refusals: Mapping[str, SuiteRun], name: str) -> None:
    run = refusals[name]
    assert (run.status, run.output) == (4, "")
    assert f"--domain-xml: {run.report_dir.parent}/refused-{list(REFUSED).index(name)}.xml: " in run.errors
    assert REFUSED[name][1] in run.errors
    assert len(run.errors.strip().splitlines()) == 1
    assert not run.report_dir.exists()


def test_a_candidate_that_must_not_nest_passes_in_a_merged_run_as_well(tmp_path: Path) -> None:
    """Its own answer is each host's: the merged run has to know that only the candidate was asked of."""
    for name in ("kvm-a", "kvm-b"):
        record(tmp_path / "evidence", name)
    file = tmp_path / "new.xml"
    file.write_text(NAMED)
    asked = [f"--evidence={tmp_path}/evidence", f"--domain-xml={file}", "--nested=forbidden", "--gate"]
    shards = [run_suite(*asked, f"--shard={number}/2", report_dir=tmp_path / str(number)) for number in (1, 2)]
    assert [run.status for run in shards] == [0, 0]
    merged = run_suite(*(f"--merge={run.reports}" for run in shards), "--gate", report_dir=tmp_path / "merged")
    assert merged.status == 0
    assert [line.split()[:2] for line in merged.output.splitlines() if line.startswith("kvm-")] == [
        ["kvm-a", "PASS"],
        ["kvm-b", "PASS"],
    ]
    assert merged.document["run"]["candidate"] == "ci-new"


def test_a_candidates_run_is_no_part_of_a_fleets(tmp_path: Path) -> None:
    for name in ("kvm-a", "kvm-b"):
        record(tmp_path / name, name)
    file = tmp_path / "new.xml"
    file.write_text(NAMED)
    fleet = run_suite(f"--evidence={tmp_path}/kvm-a", report_dir=tmp_path / "fleet")
    one = run_suite(f"--evidence={tmp_path}/kvm-b", f"--domain-xml={file}", report_dir=tmp_path / "one")
    merged = run_suite(f"--merge={fleet.reports}", f"--merge={one.reports}", report_dir=tmp_path / "merged")
    assert merged.status == 4
    assert "asked of the domain 'ci-new', an earlier one of the fleet" in merged.errors
