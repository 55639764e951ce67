"""`nested-kvm candidate`: one verdict a guest, by its file alone, with the line that decides."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nested_kvm.command import main

EXAMPLES = Path(__file__).parents[3] / "examples" / "candidates"
VERDICTS = {
    "libvirt": {"ci-1": "PASS", "ci-2": "FAIL"},
    "kubevirt": {"ci/runner-1": "PASS", "ci/runner-2": "FAIL", "ci/runner-3": "UNKNOWN"},
    "proxmox": {"nested-1": "PASS", "nested-2": "FAIL", "nested-3": "UNKNOWN"},
    "incus": {"nested-1": "PASS", "nested-2": "FAIL"},
    "terraform": {"runner-0": "PASS", "runner": "FAIL"},
}
MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: ci-1}
spec:
  template:
    spec:
      domain: {cpu: {model: %s}}
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def candidate(*words: object) -> tuple[int, str, str]:
        status = main(["candidate", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return candidate


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Path]:
    def write(model: str) -> Path:
        path = tmp_path / f"{model}.yaml"
        path.write_text(MANIFEST % model)
        return path

    return write


@pytest.mark.parametrize("form", VERDICTS)
def test_the_examples_pass_and_fail_as_their_names_say(run: Run, form: str) -> None:
    status, out, _ = run(EXAMPLES / form)
    found = dict(re.findall(r": ([^ :]+)(?: \([^)]*\))?: (PASS|FAIL|UNKNOWN): ", out))
    assert (status, found) == (1, VERDICTS[form])


def test_of_a_folder_scripts_that_run_virt_install_are_taken(run: Run, tmp_path: Path) -> None:
    for script in (EXAMPLES / "virt-install").iterdir():
        (tmp_path / script.name).write_bytes(script.read_bytes())
    (tmp_path / "backup.sh").write_text("#!/bin/sh\ntar -cf /backup.tar /srv\n")
    status, out, _ = run(tmp_path)
    assert (status, out.splitlines()[-1]) == (1, "2 guests by the files alone: 1 fail, 1 pass")
    (tmp_path / "huge.sh").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    status, _, errors = run(tmp_path)
    assert (status, "huge.sh: is larger than 4 MiB" in errors) == (4, True)


def test_a_script_may_be_named_by_itself(run: Run) -> None:
    assert run(EXAMPLES / "virt-install" / "pass.sh")[0] == 0
    status, out, _ = run(EXAMPLES / "virt-install" / "fail.sh")
    assert (status, "fail.sh:2: ci-2: FAIL: vmx or svm is not exposed: the model EPYC" in out) == (1, True)


@pytest.mark.parametrize(
    ("model", "policy", "verdict"),
    [
        ("host-passthrough", "required", "PASS"),
        ("host-passthrough", "forbidden", "FAIL"),
        ("host-passthrough", "guarded", "UNKNOWN"),
        ("EPYC", "required", "FAIL"),
        ("EPYC", "forbidden", "PASS"),
        ("host-model", "required", "UNKNOWN"),
        ("host-model", "forbidden", "UNKNOWN"),
    ],
)
def test_each_policy_has_its_verdict(
    run: Run, manifest: Callable[[str], Path], model: str, policy: str, verdict: str
) -> None:
    path = manifest(model)
    status, out, _ = run(f"--nested={policy}", path)
    assert status == {"PASS": 0, "FAIL": 1, "UNKNOWN": 6}[verdict]
    assert out.startswith(f"{path}:7: ci-1: {verdict}: ")


def test_an_unknown_may_be_allowed_and_a_finding_may_not(run: Run, manifest: Callable[[str], Path]) -> None:
    open_one, failing = manifest("host-model"), manifest("EPYC")
    assert run("--allow-unknown", open_one)[0] == 0
    assert run("--allow-unknown", open_one, failing)[0] == 1
    assert run(open_one, failing)[0] == 1


def test_a_cluster_has_one_verdict_a_guest_and_node_and_one_for_what_runs(run: Run) -> None:
    status, out, _ = run(EXAMPLES / "kubevirt-cluster" / "estate.json")
    found = dict(re.findall(r": (ci/[^:]+): (PASS|FAIL|UNKNOWN): ", out))
    assert status == 1
    assert found == {
        "ci/runner-1 on node-1": "PASS",
        "ci/runner-1 on node-2": "UNKNOWN",
        "ci/runner-1 on node-3": "PASS",
        "ci/runner-1 (running) on node-1": "PASS",
        "ci/runner-2 on node-1": "PASS",
        "ci/runner-2 on node-2": "UNKNOWN",
        "ci/runner-2 on node-3": "PASS",
        "ci/runner-2 (running) on node-1": "FAIL",
    }
    assert "4 guests on 4 nodes by the files alone: 1 fail, 2 unknown, 5 pass" in out


def test_what_runs_on_a_node_that_is_not_among_the_files_is_evaluated_by_its_file(run: Run, tmp_path: Path) -> None:
    estate = json.loads((EXAMPLES / "kubevirt-cluster" / "estate.json").read_text())
    estate["items"] = [each for each in estate["items"] if each["metadata"]["name"] != "node-1"]
    path = tmp_path / "estate.json"
    path.write_text(json.dumps(estate))
    assert ": ci/runner-2 (running): UNKNOWN: " in run(path)[1]


def test_programs_get_the_same_verdicts(run: Run) -> None:
    status, out, _ = run("--json", EXAMPLES / "kubevirt", EXAMPLES / "incus" / "fail.json")
    document = json.loads(out)
    assert (status, document["schema"]) == (1, "nested-kvm-compliance/candidate/1")
    found = {each["guest"]: (each["outcome"], each["line"], each["path"]) for each in document["verdicts"]}
    assert found == {
        "ci/runner-1": ("pass", 16, None),
        "ci/runner-2": ("fail", 17, None),
        "ci/runner-3": ("unknown", 29, None),
        "nested-2": ("fail", None, "[0].expanded_config.raw.qemu"),
    }
    assert [each["reasons"][0]["control"] for each in document["verdicts"]] == ["DOM-CPU-02"] * 4


def test_a_forbidden_flag_is_a_finding_whatever_the_node_offers(run: Run) -> None:
    _, out, _ = run("--nested=forbidden", EXAMPLES / "kubevirt-cluster" / "estate.json")
    assert "ci/runner-1 on node-2: FAIL: svm is exposed" in out
    assert "ci/runner-2 (running) on node-1: PASS" in out


def test_the_folder_of_a_cluster_of_proxmox_has_one_verdict_a_guest(run: Run, tmp_path: Path) -> None:
    files = {
        "nodes/pve-1/qemu-server/100.conf": "cpu: custom-nested\nname: on-pve-1\n",
        "nodes/pve-2/qemu-server/101.conf": "cpu: host\nname: on-pve-2\n",
        "nodes/pve-2/lxc/102.conf": "arch: amd64\nrootfs: local:102/vm-102-disk-0.raw,size=8G\n",
        "virtual-guest/cpu-models.conf": "cpu-model: nested\n\treported-model host\n",
        "corosync.conf": "totem {\n  version: 2\n}\n",
        "storage.cfg": "dir: local\n\tpath /var/lib/vz\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "qemu-server").symlink_to("nodes/pve-1/qemu-server")
    status, out, _ = run("--skip-others", tmp_path)
    assert (status, re.findall(r"(\d+\.conf:\d+: on-pve-\d: [A-Z]+)", out)) == (
        0,
        ["100.conf:1: on-pve-1: PASS", "101.conf:1: on-pve-2: PASS"],
    )


@pytest.mark.parametrize(("folder", "status"), [("pass", 0), ("fail", 1)])
def test_a_compute_host_of_openstack_has_one_verdict(run: Run, folder: str, status: int) -> None:
    ended, out, _ = run(EXAMPLES / "nova" / folder / "nova.conf")
    assert (ended, "nova.conf:7: any instance: " in out) == (status, True)


def test_guests_are_chosen_by_name(run: Run) -> None:
    status, out, _ = run("--guest=*/runner-1", EXAMPLES / "kubevirt")
    assert (status, "runner-2" in out) == (0, False)
    status, _, err = run("--guest=web-*", EXAMPLES / "kubevirt")
    assert (status, "--guest: none of ci/runner-2" in err) == (4, True)


def test_nothing_to_evaluate_is_no_pass_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    pod = tmp_path / "pod.yaml"
    pod.write_text("apiVersion: v1\nkind: Pod\n")
    compose = tmp_path / "compose.yaml"
    compose.write_text("services: {}\n")
    status, out, err = run(pod)
    assert (status, out, "defines no guest" in err) == (4, "", True)
    assert run("--skip-others", pod, compose)[:2] == (0, "no guest in 2 files: nothing was evaluated\n")


def test_a_file_that_cannot_be_read_is_a_usage_error_with_its_name(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_bytes(b"\xff")
    assert run("--skip-others", broken) == (4, "", f"nested-kvm candidate: --candidate: {broken}: is not UTF-8 text\n")
    assert run(tmp_path / "absent.yaml")[0] == 4


def test_a_remedy_is_in_the_words_of_the_form(run: Run) -> None:
    assert "`model: host-passthrough` in domain.cpu" in run(EXAMPLES / "kubevirt" / "fail.yaml")[1]
    assert "`cpu: host`" in run(EXAMPLES / "proxmox" / "101.conf")[1]
    assert "policy: disable}" in run("--nested=forbidden", EXAMPLES / "kubevirt" / "pass.yaml")[1]


def test_what_belongs_to_files_alone_is_refused_with_hosts(run: Run, tmp_path: Path) -> None:
    status, _, err = run(f"--evidence={tmp_path}", "--allow-unknown", EXAMPLES / "libvirt" / "pass.xml")
    assert (status, "are for files alone" in err) == (4, True)


def test_without_hosts_there_is_no_one_to_ask(run: Run, manifest: Callable[[str], Path]) -> None:
    status, _, said = run("--active", manifest("host-passthrough"))
    assert status == 4
    assert "--active asks hosts: name them with --inventory or --hosts" in said
