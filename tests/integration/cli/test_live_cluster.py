"""A cluster that is read live from a real API server: the same verdicts as from what kubectl saves of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import pytest
from ruamel.yaml import YAML

from examples.make_estates import ESTATES, kubevirt_guest
from nested_kvm.errors import InventoryError
from nested_kvm.fleet.estates.kubernetes_client import KubernetesApi, Limits, Resource, _PagesExpired, connected
from nested_kvm.fleet.estates.live_kubevirt import read_cluster
from nested_kvm.inventory.estate import ESTATE_FILE, KubernetesCluster
from nested_kvm.util.document import Part
from tests.support.api_server import ApiServer, allowed, namespace, token_of, write_kubeconfig
from tests.support.sshd import free_port
from tests.support.suite import ROOT, SuiteRun, environment, run_suite

pytestmark = [pytest.mark.slow, pytest.mark.needs("kube-apiserver")]

REQUIRED = ("nodes", "virtualmachines", "virtualmachineinstances")
OPTIONAL = ("kubevirts", "virtualmachineclusterinstancetypes", "controllerrevisions")
MARK = "only-in-a-volume"
"""What stands where secrets do."""
KINDS = (
    "nodes,vm,vmi,kubevirt,virtualmachineclusterinstancetypes,virtualmachineclusterpreferences,"
    "virtualmachineinstancetypes,virtualmachinepreferences,controllerrevisions"
)
INVENTORY = (
    "estate: {source}\npolicy: {{undeclared: forbidden}}\n"
    "guests: {{'ci/*': {{nested: required}}, 'types/*': {{nested: required}}}}\n"
)


@dataclass(frozen=True)
class Cluster:
    server: ApiServer
    before: str
    """How it was refused while it had no kinds of KubeVirt."""


def role() -> list[dict[str, Any]]:
    """The rules of the role in the manual."""
    blocks = (ROOT / "docs" / "estates.md").read_text().split("```yaml\n")[1:]
    (text,) = (block.partition("```")[0] for block in blocks if "kind: ClusterRole" in block)
    rules: list[dict[str, Any]] = json.loads(json.dumps(YAML().load(text)["rules"]))
    return rules


def role_without(resource: str) -> list[dict[str, Any]]:
    rules = role()
    for rule in rules:
        rule["resources"] = [each for each in rule["resources"] if each != resource]
    return [rule for rule in rules if rule["resources"]]


def examples_objects() -> list[dict[str, Any]]:
    """Those of the example, as a server takes them."""
    objects: list[dict[str, Any]] = json.loads((ESTATES / "kubevirt" / "estate.json").read_text())["items"]
    for each in objects:
        for owner in each["metadata"].get("ownerReferences", []):
            owner["uid"] = "0d8f8f0a-6f9d-4d0b-9a55-000000000001"
    return objects


def with_types() -> Iterator[dict[str, Any]]:
    """Guests whose CPU another object decides."""
    group = "instancetype.kubevirt.io/v1beta1"
    big = {"apiVersion": group, "kind": "VirtualMachineClusterInstancetype", "spec": {"cpu": {"model": "EPYC"}}}
    kept = {**big, "spec": {"cpu": {"model": "host-passthrough"}}, "metadata": {"name": "big"}}
    yield {**big, "metadata": {"name": "big"}}
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1}
    yield {**revision, "metadata": {"name": "big-1", "namespace": "types"}, "data": kept}
    pods = {"template": {"spec": {"containers": [{"env": [{"name": "PASSWORD", "value": MARK}]}]}}}
    yield {**revision, "metadata": {"name": "agent-1", "namespace": "types"}, "data": {"spec": pods}}
    for name, named in (("big", {"name": "big"}), ("kept", {"name": "big", "revisionName": "big-1"}), ("plain", None)):
        (guest,) = kubevirt_guest(f"types/{name}", "")
        template = guest["spec"]["template"]["spec"]
        template["domain"] = {"devices": {}}
        template["volumes"] = [{"name": "seed", "cloudInitNoCloud": {"userData": f"password: {MARK}"}}]
        guest["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": MARK}
        guest["spec"] |= {"instancetype": named} if named else {}
        yield guest


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    rules = {f"without-{each}": role_without(each) for each in (*REQUIRED, *OPTIONAL, "namespaces")} | {
        "auditor": role()
    }
    server = ApiServer(tmp_path_factory.mktemp("api-server"), [*rules, "blind"])
    try:
        server.start()
        before = refusal(server.kubeconfig, "auditor")
        server.install_kubevirt()
        roles = [each for user, allows in rules.items() for each in allowed(user, allows)]
        spaces = map(namespace, ("ci", "web", "kubevirt", "types", "empty"))
        server.create(*roles, *spaces, *examples_objects(), *with_types())
        yield Cluster(server, before)
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def kubeconfig(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.server.kubeconfig))


def refusal(kubeconfig: Path, context: str | None, *namespaces: str, limits: Limits | None = None) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        with pytest.raises(InventoryError) as error:
            read_cluster(KubernetesCluster(context, namespaces), limits)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def inventory(folder: Path, source: str, more: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "inventory.yaml"
    path.write_text(INVENTORY.format(source=source) + more)
    return path


def use_kubeconfig(server: ApiServer, home: Path) -> None:
    """Make the server's kubeconfig that of who runs the audit from there."""
    (home / ".kube").mkdir(parents=True)
    shutil.copy(server.kubeconfig, home / ".kube" / "config")


def on_saved_evidence(file: Path, report_dir: Path, *, evidence: Path = ESTATES / "kubevirt" / "evidence") -> SuiteRun:
    return run_suite(f"--inventory={file}", f"--evidence={evidence}", report_dir=report_dir)


def decided(run: SuiteRun, estate: object = ESTATE_FILE) -> dict[str, Any]:
    """What a run came to, with one name for the estate's file."""
    text = json.dumps([{key: run.document[key] for key in ("results", "diagnoses", "problems", "answers")}])
    found: list[dict[str, Any]] = json.loads(text.replace(str(estate), "ESTATE"))
    targets = [{key: each[key] for key in ("name", "level", "host", "policy")} for each in run.document["targets"]]
    return {**found[0], "targets": targets, "not_audited": run.document["run"]["not_audited"], "status": run.status}


def outcomes(run: SuiteRun, control: str) -> dict[str, str]:
    found = [each for each in run.document["results"] if each["control"] == control and "/" in each["subject"]]
    return {each["subject"]: " ".join(filter(None, (each["outcome"], each["cause"]))) for each in found}


def evaluated(user: str, folder: Path) -> SuiteRun:
    """Evaluate what a user reads of the cluster, on the example's evidence, as a run that read it leaves both."""
    shutil.copytree(ESTATES / "kubevirt" / "evidence", folder / "evidence")
    (folder / ESTATE_FILE).write_text(read_cluster(KubernetesCluster(user)))
    file = inventory(folder, "{kubernetes: {}}")
    return on_saved_evidence(file, folder / "reports", evidence=folder / "evidence")


@pytest.fixture(scope="module")
def by_auditor(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.server.kubeconfig))
        return evaluated("auditor", tmp_path_factory.mktemp("by-auditor"))


def test_what_is_read_live_is_evaluated_as_what_kubectl_saves(
    cluster: Cluster, by_auditor: SuiteRun, tmp_path: Path
) -> None:
    saved = tmp_path / "estate.json"
    saved.write_text(cluster.server.kubectl("get", KINDS, "--all-namespaces", "--output=json"))
    by_kubectl = on_saved_evidence(inventory(tmp_path, "{file: estate.json}"), tmp_path / "reports")
    assert MARK in saved.read_text()
    assert decided(by_auditor) == decided(by_kubectl, saved)
    assert outcomes(by_auditor, "DOM-CPU-02") == {
        "ci/runner-1": "pass",
        "ci/runner-2": "pass",
        "ci/runner-3 on node-1": "fail named-model-lacks-flag",
        "ci/runner-3 on node-2": "fail named-model-lacks-flag",
        "types/big on node-1": "fail named-model-lacks-flag",
        "types/big on node-2": "fail named-model-lacks-flag",
        "types/kept on node-1": "pass",
        "types/kept on node-2": "pass",
        "types/plain on node-1": "fail host-model-drops-svm",
        "types/plain on node-2": "fail host-model-drops-svm",
        "web/shop": "pass",
    }
    assert outcomes(by_auditor, "DOM-CPU-03")["ci/runner-2"] == "fail power-cycle-pending"


def test_an_audit_reads_the_cluster_only_and_leaves_what_evaluates_it_again(cluster: Cluster, tmp_path: Path) -> None:
    use_kubeconfig(cluster.server, tmp_path)
    here = "hosts: {node-1: {address: 'local://', libvirt: none}, node-2: {address: 'local://', libvirt: none}}\n"
    file = inventory(tmp_path / "live", "{kubernetes: {context: auditor}}", here)
    live = run_suite(f"--inventory={file}", report_dir=tmp_path / "reports")
    assert {each["name"]: each["observed"] for each in live.document["targets"] if each["host"] is None} == {
        "node-1": True,
        "node-2": True,
    }
    verbs = {verb for verb, _ in cluster.server.requests_of("auditor")}
    assert verbs == {"get", "list"}
    assert (live.reports / ESTATE_FILE).read_text() == read_cluster(KubernetesCluster("auditor"))
    assert not [path for path in live.reports.rglob("*") if path.is_file() and MARK in path.read_text()]
    assert ESTATE_FILE in (live.reports / "SHA256SUMS").read_text()
    assert "kubernetes context auditor" in {each["file"] for each in live.document["run"]["inputs"]}
    (tmp_path / ".kube" / "config").unlink()
    again = on_saved_evidence(file, tmp_path / "again", evidence=live.reports / "evidence")
    assert decided(again) == decided(live)


def listed(text: str) -> list[tuple[str, str | None, str]]:
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in json.loads(text)["items"]
    ]
    assert len(set(found)) == len(found)
    return found


def test_a_list_of_many_pages_is_whole() -> None:
    source = KubernetesCluster("auditor")
    assert read_cluster(source, Limits(page=1)) == read_cluster(source)


def test_a_list_whose_pages_expire_is_begun_again_or_refused(cluster: Cluster) -> None:
    """The server answers 410 to the next page once etcd has dropped the revision that the list is of."""
    api = connected("auditor", Limits(page=1))
    machines = Resource("kubevirt.io", "virtualmachines")
    whole = api.objects(machines)
    pages = api._pages(machines, None)
    next(pages)
    cluster.server.compact()
    with pytest.raises(_PagesExpired):
        list(pages)
    expiring = iter([True, False, True, True, True])

    class Expiring(KubernetesApi):
        """Has the server forget the revision after the first page."""

        def _page(self, resource: Resource, namespace: str | None, token: str) -> Part:
            found = super()._page(resource, namespace, token)
            if not token and next(expiring):
                cluster.server.compact()
            return found

    api.__class__ = Expiring
    assert api.objects(machines) == whole
    with pytest.raises(InventoryError, match="changed too fast"):
        api.objects(machines)
    assert list(expiring) == []


def test_of_some_namespaces_only_the_guests_are_read_and_a_namespace_that_is_not_there_is_refused(
    cluster: Cluster,
) -> None:
    text = read_cluster(KubernetesCluster("auditor", ("web", "empty")))
    found = listed(text)
    assert {(kind, space) for kind, space, _ in found} == {
        ("Node", None),
        ("VirtualMachine", "web"),
        ("VirtualMachineInstance", "web"),
        ("KubeVirt", "kubevirt"),
    }
    assert json.loads(text)["metadata"]["notRead"] == ["only guests in the namespaces web, empty were read"]
    assert "has no namespace wbe" in refusal(cluster.server.kubeconfig, "auditor", "web", "wbe")
    assert "may not get the namespace empty (403)" in refusal(cluster.server.kubeconfig, "without-namespaces", "empty")


@pytest.mark.parametrize("resource", REQUIRED)
def test_what_is_needed_and_may_not_be_listed_is_an_error(cluster: Cluster, resource: str) -> None:
    refused = refusal(cluster.server.kubeconfig, f"without-{resource}")
    assert f"may not list {resource}" in refused
    assert "(403)" in refused
    assert f'User "without-{resource}" cannot list resource "{resource}"' in refused
    assert "the ClusterRole in docs/estates.md allows it" in refused


@pytest.mark.parametrize(
    ("resource", "guest", "otherwise"),
    [
        ("kubevirts", "plain", "fail host-model-drops-svm"),
        ("virtualmachineclusterinstancetypes", "big", "fail named-model-lacks-flag"),
        ("controllerrevisions", "kept", "pass"),
    ],
)
def test_a_guest_that_needs_what_may_not_be_listed_is_unknown(
    by_auditor: SuiteRun, tmp_path: Path, resource: str, guest: str, otherwise: str
) -> None:
    denied, allowed = evaluated(f"without-{resource}", tmp_path), by_auditor
    subject = f"types/{guest} on node-1"
    assert (outcomes(denied, "DOM-CPU-02")[subject], outcomes(allowed, "DOM-CPU-02")[subject]) == ("unknown", otherwise)
    (left_out,) = (each for each in denied.document["run"]["not_audited"] if resource in each)
    assert f'cannot list resource "{resource}"' in left_out
    assert not any(resource in each for each in allowed.document["run"]["not_audited"])


def test_a_cluster_without_kubevirt_is_an_error(cluster: Cluster) -> None:
    assert "serves no group kubevirt.io: is KubeVirt installed there?" in cluster.before


def test_a_user_without_any_role_is_refused(cluster: Cluster) -> None:
    assert "may not list virtualmachines.kubevirt.io in all namespaces (403)" in refusal(
        cluster.server.kubeconfig, "blind"
    )


def test_a_context_that_is_not_there_is_refused_with_those_that_are(cluster: Cluster, tmp_path: Path) -> None:
    assert "the context 'prod' is not in the kubeconfig" in refusal(cluster.server.kubeconfig, "prod")
    assert "(it has admin, auditor, blind, " in refusal(cluster.server.kubeconfig, "prod")
    assert f"{tmp_path / 'none'} does not exist" in refusal(tmp_path / "none", None)


def test_a_server_that_does_not_know_the_user_or_that_we_do_not_know_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = cluster.server
    wrong = write_kubeconfig(tmp_path / "wrong", server.url, server.certificate, {"x": "not-a-token"})
    assert f"{server.url} does not accept the login (401)" in refusal(wrong, None)
    others = Path(certifi.where())
    untrusted = write_kubeconfig(tmp_path / "untrusted", server.url, others, {"x": token_of("auditor")})
    assert "certificate verify failed" in refusal(untrusted, None)


def test_a_server_that_is_silent_or_gone_is_refused_in_time(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.server.silent():
        assert "timed out" in refusal(
            cluster.server.kubeconfig, "auditor", limits=Limits(connect_seconds=1, answer_seconds=1)
        )
        short = Limits(connect_seconds=30, answer_seconds=30, seconds=0.5)
        assert "did not answer everything within 0.5 seconds" in refusal(
            cluster.server.kubeconfig, "auditor", limits=short
        )
    gone = f"https://127.0.0.1:{free_port()}"
    nowhere = write_kubeconfig(tmp_path / "nowhere", gone, cluster.server.certificate, {"x": "y"})
    assert f"{gone} does not answer" in refusal(nowhere, "x")


@pytest.mark.needs("accounts")
def test_in_a_pod_the_service_account_of_the_pod_reads_its_cluster(cluster: Cluster, tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(token_of("auditor"))
    shutil.copy(cluster.server.certificate, account / "ca.crt")
    file = inventory(tmp_path, "{kubernetes: {}}")
    place = "/var/run/secrets/kubernetes.io"
    script = f'mount -t tmpfs none /run && mkdir -p {place} && cp -r {account} {place}/serviceaccount && exec "$@"'
    host, _, port = cluster.server.url.removeprefix("https://").partition(":")
    command = [sys.executable, "-m", "nested_kvm", "validate", "inventory", str(file)]
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", *command],
        env={**environment(tmp_path), "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
