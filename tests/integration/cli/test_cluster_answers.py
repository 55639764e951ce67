"""A live cluster: what is refused before and while it answers. A real API server is in test_live_cluster.py."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from examples.make_estates import kubevirt_guest, kubevirt_node
from nested_kvm.errors import InventoryError
from nested_kvm.fleet.estates.kubernetes_client import Limits
from nested_kvm.fleet.estates.live_kubevirt import live_estate, read_cluster
from nested_kvm.fleet.estates.load import load_fleet
from nested_kvm.inventory.estate import ESTATE_FILE, KubernetesCluster

GROUPS = {"groups": [{"name": "kubevirt.io", "preferredVersion": {"version": "v1"}}]}
KUBEVIRT = "/apis/kubevirt.io/v1/"
NODE = kubevirt_node("node-1", "kubevirt.io/schedulable", ip="192.0.2.1")
MACHINE, INSTANCE = kubevirt_guest("ci/a", "host-passthrough", "node-1")


def of(kind: str, *items: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": f"{kind}List", "items": list(items)}


WHOLE = {
    "/apis/": GROUPS,
    f"{KUBEVIRT}virtualmachines": of("VirtualMachine", MACHINE),
    f"{KUBEVIRT}virtualmachineinstances": of("VirtualMachineInstance", INSTANCE),
    f"{KUBEVIRT}kubevirts": of("KubeVirt"),
    "/api/v1/nodes": of("Node", NODE),
}


@contextmanager
def answering(answers: Mapping[str, Any], home: Path) -> Iterator[list[str]]:
    """A server that gives these answers, as the current context; yields the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            found = answers.get(path)
            found = found.pop(0) if isinstance(found, list) else found
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(302 if body == b"elsewhere" else 200 if found is not None else 404)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body) + (1 if body.endswith(b"cut") else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    (home / ".kube").mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{server.server_port}"
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (home / ".kube" / "config").write_text(json.dumps(config))
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def refusal(source: KubernetesCluster | None = None, limits: Limits | None = None) -> str:
    with pytest.raises(InventoryError) as error:
        read_cluster(source or KubernetesCluster(), limits)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_without_the_client_the_error_names_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    path = home / "inventory.yaml"
    path.write_text("policy: {}\nestate: {kubernetes: {}}\n")
    with pytest.raises(InventoryError) as error:
        load_fleet(path)
    assert str(error.value) == (
        f"{path}:2: estate: the kubernetes client is not installed:"
        " pip install 'nested-kvm-compliance[kubernetes]', or save the list and name it by `file`"
    )


def test_an_inventory_without_a_live_cluster_imports_nothing_of_the_client() -> None:
    script = (
        "import sys; from pathlib import Path; from nested_kvm.fleet.estates.load import load_fleet;"
        "import nested_kvm.plugin.audit, nested_kvm.command.validate;"
        "load_fleet(Path('examples/estates/kubevirt/inventory.yaml'));"
        "sys.exit(any(each.partition('.')[0] in {'kubernetes', 'urllib3'} for each in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_without_a_kubeconfig_its_place_is_named(home: Path) -> None:
    assert refusal() == f"there is no kubeconfig: {home}/.kube/config does not exist (KUBECONFIG names another)"


@pytest.mark.parametrize("text", ["", "[", "x", "contexts: 3\n", "current-context: a\ncontexts: [{name: a}]\n", "\x00"])
def test_a_broken_kubeconfig_is_an_error(home: Path, text: str) -> None:
    (home / ".kube").mkdir()
    (home / ".kube" / "config").write_text(text)
    for context in (None, "a"):
        assert refusal(KubernetesCluster(context)).startswith(f"the kubeconfig {home}/.kube/config cannot be used: ")


def test_a_pod_without_a_service_account_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert refusal().startswith("the service account of this pod cannot be used: ")
    assert refusal(KubernetesCluster("prod")).startswith("there is no kubeconfig: ")


def test_what_is_read_is_a_list_of_what_decides(home: Path) -> None:
    with answering(WHOLE, home) as asked:
        estate, text = live_estate(KubernetesCluster())
    assert [(each.name, each.host) for each in estate.estate.guests] == [("ci/a", "node-1")]
    assert [each["kind"] for each in json.loads(text)["items"]] == ["Node", "VirtualMachine", "VirtualMachineInstance"]
    assert asked[-1] == "/api/v1/nodes"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/apis/": b"<html>"}, "did not answer with JSON"),
        ({"/apis/": b"[]"}, "did not answer with an object"),
        ({"/apis/": b"elsewhere"}, "answered 302"),
        ({"/apis/": b'{"groups": [cut'}, "does not answer"),
        ({"/apis/": {"groups": [{"name": 3}]}}, "not as Kubernetes gives it"),
        ({"/apis/": {}}, "it serves no group kubevirt.io"),
        ({"/apis/": {"groups": [], **dict.fromkeys("ab", "x" * 3000)}}, "is larger than"),
        ({f"{KUBEVIRT}virtualmachines": None}, "is KubeVirt installed there?"),
        ({f"{KUBEVIRT}virtualmachineinstances": {"kind": "Status"}}, "did not answer with a list"),
        ({f"{KUBEVIRT}virtualmachines": {"kind": "XList", "items": {}}}, "did not answer with a list"),
        ({f"{KUBEVIRT}virtualmachines": of("X", 3)}, "not as Kubernetes gives it"),
        ({f"{KUBEVIRT}virtualmachines": of("X") | {"metadata": {"continue": 3}}}, "not as Kubernetes gives it"),
        ({f"{KUBEVIRT}virtualmachines": b'{"kind": "XList", "items": [], "items": []}'}, "given twice"),
        ({"/api/v1/nodes": b"\xff"}, "did not answer with JSON"),
        ({"/api/v1/nodes": b"[" * 2000}, "nested too deeply"),
    ],
)
def test_an_answer_that_is_not_of_kubernetes_is_an_error(home: Path, answers: Mapping[str, Any], reason: str) -> None:
    with answering({**WHOLE, **answers}, home):
        assert reason in refusal(limits=Limits(size=5000))


def test_a_guest_that_stops_between_two_lists_is_read_again(home: Path) -> None:
    """The list of machines was made before it stopped, that of instances after it."""
    stopped = {**MACHINE, "status": {"created": False}}
    machines = [of("VirtualMachine", MACHINE), of("VirtualMachine", stopped)]
    instances = of("VirtualMachineInstance")
    paths = {f"{KUBEVIRT}virtualmachines": machines, f"{KUBEVIRT}virtualmachineinstances": instances}
    with answering({**WHOLE, **paths}, home):
        _, text = live_estate(KubernetesCluster())
    assert [each["status"].get("created") for each in json.loads(text)["items"]] == [None, False]
    with answering({**WHOLE, f"{KUBEVIRT}virtualmachineinstances": instances}, home) as asked:
        with pytest.raises(InventoryError, match=r"ci/a runs, and its VirtualMachineInstance is not in it$"):
            live_estate(KubernetesCluster())
        assert asked.count("/api/v1/nodes") == 3


def recorded(folder: Path, metadata: object) -> Path:
    path = folder / ESTATE_FILE
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": [NODE]}))
    (folder / "inventory.yaml").write_text("estate: {kubernetes: {context: prod, namespaces: [a, b, a]}}\n")
    return path


def test_the_list_of_an_earlier_run_takes_the_place_of_the_cluster(home: Path) -> None:
    kept = recorded(home, {"readFrom": "prod", "namespaces": ["a", "b"], "notRead": ["x\nwas not read"]})
    fleet = load_fleet(home / "inventory.yaml", kept)
    assert [each.name for each in fleet.inventory] == ["node-1"]
    assert fleet.inventory.left_out == ("x was not read",)
    assert fleet.cluster is not None
    assert (fleet.cluster.recorded, fleet.cluster.text) == (kept, kept.read_text())


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "was not read from this context"),
        ({"readFrom": "test", "namespaces": ["a", "b"]}, "was not read from this context"),
        ({"readFrom": "prod", "namespaces": []}, "was not read from this context"),
        ({"readFrom": "prod", "namespaces": {}}, "not a list"),
        ({"readFrom": "prod", "namespaces": ["a", "b"], "notRead": 3}, "not a list"),
        ([], "not a mapping"),
    ],
)
def test_the_list_of_another_cluster_is_refused(home: Path, metadata: object, reason: str) -> None:
    kept = recorded(home, metadata)
    with pytest.raises(InventoryError, match=reason):
        load_fleet(home / "inventory.yaml", kept)


def test_evidence_without_a_list_beside_it_is_refused(home: Path) -> None:
    kept = recorded(home, {})
    kept.unlink()
    with pytest.raises(
        InventoryError, match=r"with --evidence no cluster is read, and there is no .*estate-kubernetes"
    ):
        load_fleet(home / "inventory.yaml", kept)
