"""A real `sos report`, and a real audit of the same machine in the same minute: no control is decided differently.

Both run in a mount namespace in which the machine is given a host's CPUs, modules and configuration, so that there is
something to decide; the programs, kmod among them, are the machine's own.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import pytest

from nested_kvm.evidence.archive.stub_module import stub_module
from tests.support.needs import program
from tests.support.suite import run_suite

pytestmark = [pytest.mark.slow, pytest.mark.needs("sos", "kmod", "accounts")]
ROOT = Path(__file__).parents[3]
PLUGINS = "kernel,processor,process,hardware,date,host,libvirt,virsh,grub2,block,systemd,filesys,release,udev"
RELEASE = os.uname().release
SHOWN = {"pass", "fail", "notapplicable"}
CPU = (
    "processor\t: {number}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n"
    "flags\t\t: fpu msr pae svm npt nrip_save vmcb_clean\n\n"
)
MODULES = {
    "kvm": {"initstate": "live", "refcnt": "1", "parameters/nx_huge_pages": "N", "parameters/enable_virt_at_load": "Y"},
    "kvm_amd": {
        "initstate": "live", "refcnt": "0", "parameters/nested": "1", "parameters/npt": "Y", "parameters/vgif": "1",
        "parameters/vls": "1", "parameters/avic": "N",
    },
    "printk": {"parameters/time": "Y"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What the machine is given: lines of modprobe.d by path, and the running value of nested."""

    modprobe: dict[str, str]
    nested: str = "1"


CASES = {
    "on-and-lasting": Case({"etc/modprobe.d/kvm.conf": "options kvm_amd nested=1\n"}),
    "the-next-load-fails": Case({"etc/modprobe.d/kvm.conf": "options kvm_amd nested=y\n"}),
    "replaced-by-a-command": Case({"etc/modprobe.d/off.conf": "install kvm_amd /bin/false\n"}, nested="0"),
}


@pytest.fixture(scope="module", params=list(CASES))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The results of the audit, and those of the sosreport."""
    folder = tmp_path_factory.mktemp("sos")
    case = CASES[request.param]
    lay_out(folder / "given", case)
    script = folder / "inside.sh"
    script.write_text(inside(folder))
    done = subprocess.run(
        [program("unshare") or "unshare", "--mount", "--propagation", "private", "sh", "-eu", str(script)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (archive,) = (folder / "report").glob("*.tar.xz")
    audit(f"--evidence={archive}", folder / "of-archive")
    return folder / "live" / "latest" / "results.json", folder / "of-archive" / "latest" / "results.json"


def lay_out(given: Path, case: Case) -> None:
    """Write what is mounted over the machine's own."""
    for name, files in MODULES.items():
        for path, value in files.items():
            place = given / "module" / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{case.nested if path == 'parameters/nested' else value}\n")
    (given / "cpuinfo").write_text("".join(CPU.format(number=number) for number in range(2)))
    (given / "empty").mkdir()
    for path, text in {"etc/modprobe.d/.keep": "", **case.modprobe}.items():
        place = given / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    modules = given / "modules" / RELEASE / "kernel"
    modules.mkdir(parents=True)
    (modules / "kvm.ko").write_bytes(stub_module("kvm", "of_kvm", []))
    (modules / "kvm-amd.ko").write_bytes(stub_module("kvm_amd", "of_kvm_amd", ["of_kvm"]))
    (modules.parent / "modules.order").touch()
    (modules.parent / "modules.builtin").touch()


def inside(folder: Path) -> str:
    """The script that runs both."""
    given = quote(str(folder / "given"))
    sos = f"sos report --batch --tmp-dir {folder}/report -o {PLUGINS} -k process.lsof=off -k process.samples=0"
    return f"""
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work {folder}/report
mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=/mnt/upper,workdir=/mnt/work /usr/lib
mkdir -p /usr/lib/modules /usr/local/lib/modprobe.d /run/modprobe.d
cp -r {given}/modules/. /usr/lib/modules/
depmod {RELEASE}
mount --bind {given}/module /sys/module
mount --bind {given}/cpuinfo /proc/cpuinfo
mount --bind {given}/etc/modprobe.d /etc/modprobe.d
{sos} >/dev/null
{quote(sys.executable)} -m pytest -q --hosts=local:// --report-dir={folder}/live || [ $? -le 6 ]
"""


def audit(evidence: str, reports: Path) -> None:
    done = run_suite(evidence, report_dir=reports)
    assert done.status in {0, 1, 6}, done.text[-2000:]


def outcomes(results: Path) -> dict[str, tuple[str, str | None]]:
    found = json.loads(results.read_text())["results"]
    assert found
    return {each["control"]: (each["outcome"], each["cause"]) for each in found}


def test_no_control_that_both_decide_is_decided_differently(both: tuple[Path, Path]) -> None:
    live, archive = map(outcomes, both)
    differing = {
        control: (live[control], archive[control])
        for control in live.keys() & archive.keys()
        if live[control][0] in SHOWN and archive[control][0] in SHOWN and live[control] != archive[control]
    }
    assert differing == {}
    assert len([control for control in archive if archive[control][0] in SHOWN and live[control][0] in SHOWN]) >= 8


def test_what_sos_does_not_collect_is_unknown_and_no_error(both: tuple[Path, Path]) -> None:
    live, archive = map(outcomes, both)
    assert {outcome for outcome, _ in archive.values()} <= {*SHOWN, "unknown", "notchecked", "informational"}
    undecided = {control for control, (outcome, _) in archive.items() if outcome == "unknown"}
    messages = {each["control"]: each["message"] for each in json.loads(both[1].read_text())["results"]}
    assert all("sos" in messages[each] or live[each][0] == "unknown" or messages[each] for each in undecided)
