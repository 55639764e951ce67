"""On what, and how, it was measured: figures without it compare with nothing."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from bench.options import ROOT, Options

_LIBRARIES: Final = ("pytest", "paramiko", "cryptography", "pytest-testinfra", "pytest-html", "ansible-core")


def machine() -> dict[str, Any]:
    """Describe this machine and its software; no name, no address."""
    return {
        "cpu": _first(r"^model name\s*: (.*)$", Path("/proc/cpuinfo")),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": round(int(_first(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo")) or 0) * 1024 / 1e6),
        "kernel": platform.release(),
        "system": _first(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release")),
        "python": platform.python_version(),
        "openssh": _said("ssh", "-V").partition(",")[0],
        "suite": importlib.metadata.version("nested-kvm-compliance"),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def method(options: Options) -> list[str]:
    """Say in a few sentences what the figures mean."""
    return [
        f"{options.hosts} addresses of loopback in a network namespace, one sshd behind all of them.",
        f"A proxy holds back what goes each way by half of {options.rtt_ms:g} ms, and charges a round trip for the "
        "handshake of TCP."
        * bool(options.rtt_ms)
        or "No round trip: what is measured goes to sshd itself.",
        "The hosts have the files of an AMD server with KVM: 32 CPUs, ten files in modprobe.d, a small module tree.",
        "They have no libvirt (the inventory says libvirt: none) and no guests, and few processes beside sshd's.",
        "sshd, the hosts' commands and the proxy share this machine's CPUs with what is measured.",
        "What the hosts and the proxy take of these CPUs is given as well: real hosts take it each for itself.",
        f"{options.forks} hosts at once, but for plain Testinfra, which takes one after the other.",
        "Everything ran once before it was measured; reports and evidence go to a file system in memory.",
        "Hypothesis's plugin, which only the environment of tests has, is kept out of every pytest.",
        "CPU seconds hold what a program waited for: not sshd's, and not those of the ssh daemons that Ansible leaves.",
        "Executions are the sessions that sshd started: commands and subsystems.",
        "Plain Testinfra and Ansible include their start, shared among the sample's hosts.",
        "one host: past the proxy, straight to sshd. Its first verdict is pytest's first report of a test.",
    ]


def _first(pattern: str, file: Path) -> str | None:
    found = re.search(pattern, file.read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else None


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip() if done.returncode == 0 else ""
