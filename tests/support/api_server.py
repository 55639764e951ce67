"""A real API server of Kubernetes on loopback, with its etcd, and with the kinds of KubeVirt that the audit reads.

Nothing runs behind it: its objects stay as they are created.
"""

import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.needs import kube_apiserver, program
from tests.support.sshd import free_port

ADMIN: Final = "admin"
_READY_SECONDS: Final = 120.0
_PERMISSIVE: Final = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


class _Kind(NamedTuple):
    """A kind of KubeVirt's; the first version is stored."""

    group: str
    kind: str
    short: tuple[str, ...] = ()
    scope: str = "Namespaced"
    versions: tuple[str, ...] = ("v1", "v1alpha3")

    def definition(self) -> dict[str, Any]:
        name, plural = self.kind.lower(), f"{self.kind.lower()}s"
        names = {"kind": self.kind, "plural": plural, "singular": name, "listKind": f"{self.kind}List"}
        versions = [
            {"name": each, "served": True, "storage": each == self.versions[0], "schema": _PERMISSIVE}
            for each in self.versions
        ]
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": self.scope,
                "names": {**names, "shortNames": self.short},
                "versions": versions,
            },
        }


_TYPES: Final = "instancetype.kubevirt.io"
_KINDS: Final = (
    _Kind("kubevirt.io", "VirtualMachine", ("vm",)),
    _Kind("kubevirt.io", "VirtualMachineInstance", ("vmi",)),
    _Kind("kubevirt.io", "KubeVirt", ("kv",)),
    _Kind(_TYPES, "VirtualMachineInstancetype", versions=("v1beta1",)),
    _Kind(_TYPES, "VirtualMachinePreference", versions=("v1beta1",)),
    _Kind(_TYPES, "VirtualMachineClusterInstancetype", scope="Cluster", versions=("v1beta1",)),
    _Kind(_TYPES, "VirtualMachineClusterPreference", scope="Cluster", versions=("v1beta1",)),
)


class ApiServer:
    """One API server. Each user has a context in `kubeconfig` and a token, and may do what a role allows."""

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        self.folder = folder
        self.users = (ADMIN, *users)
        self.url = f"https://127.0.0.1:{free_port()}"
        self.certificate = folder / "certificates" / "apiserver.crt"
        self.kubeconfig = folder / "kubeconfig"
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both programs, and wait until the server is ready."""
        self._write_files()
        peers = f"http://127.0.0.1:{free_port()}"
        self._run(
            str(program("etcd")),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peers}",
            "--unsafe-no-fsync",
        )
        self._run(
            str(kube_apiserver()),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--cert-dir={self.certificate.parent}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'accounts.key'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--audit-policy-file={self.folder / 'audit.json'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
        )
        self._wait_until_ready()

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def kubectl(self, *words: str, given: object = None) -> str:
        """Run kubectl as the administrator; `given` is its standard input, as JSON."""
        ended = subprocess.run(
            [str(program("kubectl")), f"--kubeconfig={self.kubeconfig}", f"--context={ADMIN}", *words],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def create(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl(
            "create", "--validate=false", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": objects}
        )

    def install_kubevirt(self) -> None:
        """Create its kinds, and wait until they are served."""
        self.create(*(each.definition() for each in _KINDS))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")

    def requests_of(self, user: str) -> set[tuple[str, str]]:
        """The verb and the resource, or path, of each request of a user, from the server's audit log."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        events = [each for each in map(json.loads, lines) if each["user"]["username"] == user]
        return {(each["verb"], each.get("objectRef", {}).get("resource") or each["requestURI"]) for each in events}

    def compact(self) -> None:
        """Drop what etcd keeps of the past, as the API server has it do every five minutes."""
        self._etcd("put", {"key": "eA==", "value": "eA=="})
        revision = self._etcd("range", {"key": "eA=="})["header"]["revision"]
        self._etcd("compaction", {"revision": revision, "physical": True})

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let it accept connections, and answer nothing."""
        server = self._processes[-1]
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server.pid, signal.SIGCONT)

    def _write_files(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "accounts.key").write_bytes(pem)
        groups = {ADMIN: ',"system:masters"'}
        tokens = (f"{token_of(user)},{user},{user}{groups.get(user, '')}\n" for user in self.users)
        (self.folder / "tokens.csv").write_text("".join(tokens))
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
        (self.folder / "audit.json").write_text(json.dumps(policy | {"omitStages": ["RequestReceived"]}))
        write_kubeconfig(self.kubeconfig, self.url, self.certificate, {user: token_of(user) for user in self.users})

    def _run(self, *words: str) -> None:
        # It must not outlive tests that are killed.
        command = ["setpriv", "--pdeathsig", "KILL", *words]
        with (self.folder / f"{Path(words[0]).name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._processes.append(process)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            ended = [each.args for each in self._processes if each.poll() is not None]
            assert not ended, f"ended at once: {ended}"
            assert time.monotonic() < end, "the API server is not ready"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            trusted = ssl.create_default_context(cafile=self.certificate)
            with urlopen(f"{self.url}/readyz", timeout=10, context=trusted) as answer:  # noqa: S310 - loopback
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def _etcd(self, call: str, given: object) -> Any:
        request = Request(f"{self._etcd_url}/v3/kv/{call}", json.dumps(given).encode())  # noqa: S310 - loopback
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return json.load(answer)


def allowed(user: str, rules: object) -> Iterator[dict[str, Any]]:
    """What lets a user do what these rules of a ClusterRole say, in the whole cluster."""
    group = "rbac.authorization.k8s.io"
    named = {"apiVersion": f"{group}/v1", "metadata": {"name": user}}
    subject = {"apiGroup": group, "kind": "User", "name": user}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": user}
    yield {**named, "kind": "ClusterRole", "rules": rules}
    yield {**named, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def token_of(user: str) -> str:
    return f"token-of-{user}"


def write_kubeconfig(path: Path, url: str, certificate: Path, tokens: Mapping[str, str]) -> Path:
    """Write a kubeconfig with a context for each token; the first is the current one."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(tokens)),
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(certificate)}}],
        "users": [{"name": user, "user": {"token": token}} for user, token in tokens.items()],
        "contexts": [{"name": user, "context": {"cluster": "test", "user": user}} for user in tokens],
    }
    path.write_text(json.dumps(document))
    return path
