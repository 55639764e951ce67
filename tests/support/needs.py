"""What a test needs from the machine that it runs on: real programs, and the right to isolate them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

INSPECJS = Path(__file__).parents[2] / "build" / "npm" / "node_modules" / "inspecjs"
"""Heimdall's own library, where `make test-heavy-deps` leaves it."""
KUBE_APISERVER = Path(__file__).parents[2] / "build" / "kubernetes" / "kube-apiserver"
"""Where `make test-heavy-deps` leaves what it builds."""
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


HEAVY = frozenset({"buildah", "chromium", "docs", "inspecjs", "kube-apiserver", "mmdebstrap", "release", "salt", "sos"})
"""Parts that take minutes to install or to run, and that only heavy tests need: `make test-heavy` brings them."""


def program(name: str) -> str | None:
    """Find a program where root would."""
    return shutil.which(name, path=SYSTEM_PATH)


def kube_apiserver() -> str | None:
    """Find the API server of Kubernetes: where `make test-heavy-deps` builds it, else on PATH."""
    return str(KUBE_APISERVER) if KUBE_APISERVER.exists() else program("kube-apiserver")


def salt_program(name: str) -> str | None:
    """Find a program of Salt's: where `make test-engines` puts it, else on PATH."""
    return shutil.which(name, path=f"{sys.prefix}/engines/bin") or shutil.which(name)


def missing(part: str) -> str | None:
    """Say what a `needs(part)` lacks here, or None."""
    return _PARTS.get(part, lambda: _lacks(part))()


def browser() -> str | None:
    """Find Chromium, by whatever name the distribution gives it."""
    return next(filter(None, map(program, ("chromium", "chromium-browser", "google-chrome"))), None)


def _lacks(*names: str) -> str | None:
    absent = [name for name in names if program(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@cache
def _lacks_namespaces() -> str | None:
    if _lacks("unshare"):
        return _lacks("unshare")
    attempt = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/run"]
    refused = subprocess.run(attempt, capture_output=True, check=False).returncode != 0
    return "no right to make mount and process namespaces: run the tests as root" if refused else None


_PARTS: dict[str, Callable[[], str | None]] = {
    "sshd": lambda: _lacks("sshd", "ssh-keygen", "setpriv"),
    "ansible-inventory": lambda: None if find_spec("ansible") else "not installed: ansible-core",
    "salt": lambda: None if salt_program("salt-master") else "not installed: salt (make test-engines brings it)",
    "ssh-agent": lambda: _lacks("ssh-agent", "ssh-add"),
    "libvirt-python": lambda: None if find_spec("libvirt") else "not installed: libvirt-python",
    "chromium": lambda: _lacks("chromium") if browser() is None else _lacks("chromedriver"),
    "virsh": lambda: _lacks("virsh"),
    "nc": lambda: _lacks("nc"),
    "accounts": _lacks_namespaces,
    "release": lambda: None if Path(sys.prefix, "release", "ready").exists() else "not there: make .venv/release/ready",
    "groff": lambda: _lacks("groff"),
    "systemd-analyze": lambda: _lacks("systemd-analyze"),
    "buildah": lambda: _lacks("buildah"),
    "docs": lambda: None if Path(sys.prefix, "docs", "ready").exists() else "not there: make .venv/docs/ready",
    "mmdebstrap": lambda: _lacks("mmdebstrap", "git") or _lacks_namespaces(),
    "kmod": lambda: _lacks("kmod", "depmod", "modinfo", "busybox", "chroot", "unshare"),
    "inspecjs": lambda: (
        _lacks("node") or (None if INSPECJS.is_dir() else "not installed: inspecjs (make test-heavy-deps)")
    ),
    "kube-apiserver": lambda: (
        _lacks("etcd", "kubectl", "setpriv")
        or ("not installed: kubernetes (the client)" if find_spec("kubernetes") is None else None)
        or (None if kube_apiserver() else "not installed: kube-apiserver (make test-heavy-deps builds it)")
    ),
    "qemu-ga": lambda: _lacks("qemu-ga") or _lacks_namespaces(),
    "libvirtd": lambda: _lacks("libvirtd", "virt-ssh-helper", "nc") or _lacks_namespaces(),
}
