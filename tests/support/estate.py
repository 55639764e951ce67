"""Three machines that both an engine and a direct run reach: a host and two guests, each with its own CPUs."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.guests import CPU, with_cpuinfo
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import ROOT, SuiteRun, environment, run_suite

NAMES = ("kvm-a", "ci-1", "ci-2")
_FLAGS = {"kvm-a": " svm", "ci-1": " svm", "ci-2": ""}
"""No answer can be taken for another's."""


def start_machines(start_sshd: SshdFactory, preludes: Mapping[str, str] | None = None) -> dict[str, Sshd]:
    cpus = {name: "\n".join(CPU.format(number=number, flag=flag) for number in (0, 1)) for name, flag in _FLAGS.items()}
    return {name: start_sshd(prelude=with_cpuinfo(cpus[name]) + (preludes or {}).get(name, "")) for name in NAMES}


def write_inventory(folder: Path, machines: Mapping[str, Sshd]) -> Path:
    """Write the inventory of those machines, and beside it the ssh_config that knows them."""
    address = {
        name: f"ssh://root@127.0.0.1:{machine.port}?ssh_identity_file={machine.identity}"
        for name, machine in machines.items()
    }
    guests = [f"      {name}: {{address: '{address[name]}'}}\n" for name in NAMES[1:]]
    path = folder / "fleet.yaml"
    host = f"hosts:\n  kvm-a:\n    address: '{address['kvm-a']}'\n    libvirt: none\n    guests:\n"
    path.write_text(host + "".join(guests))
    (folder / "known_hosts").write_text("".join(machine.known_hosts() for machine in machines.values()))
    (folder / "ssh_config").write_text(f"UserKnownHostsFile {folder}/known_hosts\nIdentitiesOnly yes\n")
    return path


def run_directly(inventory: Path) -> SuiteRun:
    folder = inventory.parent
    words = [f"--inventory={inventory}", f"--ssh-config={folder}/ssh_config"]
    return run_suite(*words, report_dir=folder / "direct")


def import_answers(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nested_kvm.evidence.import_answers", *map(str, words)],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_judged_alike(judged: SuiteRun, direct: SuiteRun) -> None:
    """Hold a run over an engine's answers to a direct one: everything but the run itself is the same."""
    assert undated_targets(judged) == undated_targets(direct)
    assert all(target["observed"] for target in judged.document["targets"])
    assert judged.document["results"] == direct.document["results"]
    assert judged.document["diagnoses"] == direct.document["diagnoses"]
    assert judged.status == direct.status == 1


def undated_targets(run: SuiteRun) -> list[dict[str, Any]]:
    """Return the targets of results.json without the time at which each was observed, and its evidence's digests."""
    dated = {"observed_at", "evidence"}
    return [{key: each[key] for key in each if key not in dated} for each in run.document["targets"]]


def left_behind(before: Sequence[Path]) -> list[Path]:
    """Return what came into a machine's usual places, and holds the probe."""
    found = [path for path in places() if path not in before and path.is_file()]
    return [path for path in found if b"nested-kvm-probe" in path.read_bytes()]


def places() -> list[Path]:
    return [path for place in ("/tmp", "/var/tmp", "/root") for path in Path(place).iterdir()]  # noqa: S108 - read only
