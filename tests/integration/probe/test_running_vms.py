"""The probe over a /proc and a debugfs laid out by hand, in each shell: only what is judged is printed."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status
from tests.support.needs import program
from tests.support.running_machines import CMDLINES, DEBUGFS, HOLDERS

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
MOUNT = """
mount --bind "$1/debug" /sys/kernel/debug || mount --bind "$1/sys" /sys || exit 9
[ ! -d /sys/module ] || mount --bind "$1/module" /sys/module || exit 9
mount --bind "$1/run" /run || exit 9
mount --bind "$1/proc" /proc || exit 9
shift
exec "$@"
"""
STAYS = "hunter2"
"""Stands in every argument that must stay on the machine."""

OTHERS = (
    "cloud-hypervisor cloud-hypervisor-static crosvm firecracker firecracker-v1.7.0-x86_64 kvm-spice lkvm "
    "qemu-system-ppc64 qemu-system-x86_64+x stratovirt"
)

Probe = Callable[..., dict[str, Reading]]


class Machine:
    """A /proc and a debugfs of plain files; no module says that KVM is not in use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process(1, b"/sbin/init")
        for name in ("debug", "module", "run", "sys/kernel/debug"):
            (root / name).mkdir(parents=True)

    def process(self, pid: int, *arguments: bytes, descriptors: tuple[str, ...] = ("/dev/null",)) -> None:
        folder = self.root / "proc" / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "cmdline").write_bytes(b"".join(argument + b"\0" for argument in arguments))
        for number, target in enumerate(descriptors):
            (folder / "fd" / str(number)).symlink_to(target)

    def mount_namespaces(self, *, is_same: bool) -> None:
        """Give process 5 the probe's mount namespace, or another."""
        for pid in ("self", "5"):
            (self.root / "proc" / pid / "ns").mkdir(parents=True)
        (self.root / "proc/self/ns/mnt").touch()
        (self.root / "proc/5/ns/mnt").touch()
        if is_same:
            (self.root / "proc/5/ns/mnt").unlink()
            (self.root / "proc/5/ns/mnt").hardlink_to(self.root / "proc/self/ns/mnt")

    def counts(self, vm: str, nested_run: int, *guest_modes: int) -> None:
        for debugfs in ("debug", "sys/kernel/debug"):
            folder = self.root / debugfs / "kvm" / vm
            folder.mkdir(parents=True)
            (folder / "nested_run").write_text(f"{nested_run}\n")
            for number, mode in enumerate(guest_modes):
                (folder / f"vcpu{number}").mkdir()
                (folder / f"vcpu{number}" / "guest_mode").write_text(f"{mode}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(params=[pytest.param(shell, marks=pytest.mark.needs(shell)) for shell in SHELLS])
def probe(request: pytest.FixtureRequest, tmp_path: Path) -> Probe:
    shell = SHELLS[request.param]

    def run(first_in_path: Path | None = None) -> dict[str, Reading]:
        command = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            MOUNT,
            "sh",
            str(tmp_path),
            *shell,
            "-c",
            probe_script(),
            "sh",
            "N0NCE",
            "5",
        ]
        path = os.environ["PATH"]
        environment = {"PATH": path if first_in_path is None else f"{first_in_path}:{path}"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        assert STAYS not in done.stdout.decode("utf-8", "replace")
        answer = parse_answer(done.stdout, "N0NCE")
        assert answer.cut is None
        return answer.readings

    return run


pytestmark = pytest.mark.needs("accounts")


def test_of_a_vmm_only_what_is_judged_leaves_the_machine(machine: Machine, probe: Probe) -> None:
    machine.process(
        421, b"/usr/bin/qemu-system-x86_64", b"-name", b"guest=l1,debug-threads=on", b"-enable-kvm",
        b"-object", b"secret,id=s,data=" + STAYS.encode(), b"-M", b"q35", b"--cpu", b"host,svm=off",
        b"-append", b"password=" + STAYS.encode(), b"-uuid", b"5b2e", b"-accel", b"kvm", b"-machine", b"pc,accel=tcg",
    )  # fmt: skip
    machine.process(7, b"/usr/bin/kvm", b"-id", b"100", b"-name", b"vm-100,debug-threads=on", b"-cpu", b"kvm64,+svm")
    assert probe()[CMDLINES].text.strip().splitlines() == [
        "421 program=qemu-system-x86_64",
        "421 name=guest=l1,debug-threads=on",
        "421 enable-kvm=on",
        "421 M=q35",
        "421 cpu=host,svm=off",
        "421 uuid=5b2e",
        "421 accel=kvm",
        "421 machine=pc,accel=tcg",
        "7 program=kvm",
        "7 name=vm-100,debug-threads=on",
        "7 cpu=kvm64,+svm",
    ]


def test_control_characters_in_an_argument_make_no_line(machine: Machine, probe: Probe) -> None:
    machine.process(5, b"qemu-kvm", b"-name", b"a\n999 cpu=host\r\x1b[31m\x7f", b"x\n-cpu\n" + STAYS.encode())
    machine.process(6, b"qemu-kvm\n666 program=kvm", b"-cpu", STAYS.encode())
    machine.process(8, b"/bin/vim", b"qemu-system-x86_64", b"-cpu", STAYS.encode())
    machine.process(9, b"kvm", b"-name")
    machine.process(10)
    assert probe()[CMDLINES].text.strip().splitlines() == [
        "5 program=qemu-kvm",
        "5 name=a?999 cpu=host??[31m?",
        "9 program=kvm",
    ]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (b"kvm", []),
        (b"\0kvm\0", []),
        (b"kvm\0-enable-kvm", ["program=kvm"]),
        (b"kvm\0-name", ["program=kvm"]),
        (b"kvm\0-name\0\0", ["program=kvm", "name="]),
        (b"kvm\0-cpu\0host", ["program=kvm", "cpu=host"]),
        (b"kvm\0\0\0-cpu\0\0\0", ["program=kvm", "cpu="]),
        (b"kvm\0---cpu\0a\0-\0--\0cpu\0-M\0*\0", ["program=kvm", "M=*"]),
        (b"kvm\0-cpu\0-name\0x\0--enable-kvm\0", ["program=kvm", "cpu=-name", "enable-kvm=on"]),
    ],
)
def test_arguments_are_told_apart_however_they_end(
    machine: Machine, probe: Probe, arguments: bytes, lines: list[str]
) -> None:
    machine.process(5)
    (machine.root / "proc" / "5" / "cmdline").write_bytes(arguments)
    assert probe()[CMDLINES].text.splitlines() == [f"5 {line}" for line in lines]


def test_names_beside_ascii_stay_as_they_are(machine: Machine, probe: Probe) -> None:
    machine.process(5, b"qemu-kvm", b"-name", "größe $(touch x) `y` \\n %s".encode())
    assert probe()[CMDLINES].text.strip().splitlines()[1] == "5 name=größe $(touch x) `y` \\n %s"


@pytest.mark.parametrize("name", OTHERS.split())
def test_other_vmms_are_named(machine: Machine, probe: Probe, name: str) -> None:
    machine.process(5, f"/opt/{name}".encode(), b"--api-sock", STAYS.encode())
    assert probe()[CMDLINES].text.strip() == f"5 program={name}"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ((b"-global", b"cpu.svm=on"), ["global=cpu.svm=on"]),
        ((b"-global", b"EPYC-x86_64-cpu.svm=off", b"-cpu", b"EPYC"), ["global=EPYC-x86_64-cpu.svm=off", "cpu=EPYC"]),
        ((b"--global", b"driver=cpu,property=svm,value=off"), ["global=driver=cpu,property=svm,value=off"]),
        (
            (
                b"-global",
                b"property=svm,driver=cpu,value=on",
                b"-global",
                b"value=on,property=svm,driver=EPYC-x86_64-cpu",
            ),
            ["global=property=svm,driver=cpu,value=on", "global=value=on,property=svm,driver=EPYC-x86_64-cpu"],
        ),
        (
            (b"-global", b"driver=qemu64-x86_64-cpu,property=svm,value=on"),
            ["global=driver=qemu64-x86_64-cpu,property=svm,value=on"],
        ),
        ((b"-global", b"property=serial,driver=ide-hd,value=-cpu " + STAYS.encode()), []),
        ((b"-global", b"ide-hd.serial=-cpu." + STAYS.encode()), []),
        ((b"-readconfig", b"/home/" + STAYS.encode()), ["readconfig="]),
        (
            (b"-readconfig", b"/usr/share/qemu-server/pve-q35-4.0.cfg", b"-cpu", b"host"),
            ["readconfig=/usr/share/qemu-server/pve-q35-4.0.cfg", "cpu=host"],
        ),
    ],
)
def test_what_changes_the_cpu_beside_its_option_is_printed(
    machine: Machine, probe: Probe, arguments: tuple[bytes, ...], lines: list[str]
) -> None:
    machine.process(5, b"kvm", *arguments)
    assert probe()[CMDLINES].text.strip().splitlines() == ["5 program=kvm", *(f"5 {line}" for line in lines)]


INCUS: Final = """# Machine
[machine]
type = "q35"
accel = "kvm"

[global]
driver = "ICH9-LPC"
[global]
driver = "host-x86_64-cpu"
property = "svm"

[drive]
file = "/secret/of/a-cpu/x"
[device "dev-a"]
driver = "virtio-vga"
[device "b"]
driver = "EPYC-x86_64-cpu"
[action "x"]
some = "\tthing"
"""
INCUS_LINES: Final = [
    "config=[machine]",
    'config=type = "q35"',
    'config=accel = "kvm"',
    "config=[global]",
    'config=driver = "ICH9-LPC"',
    "config=[global]",
    'config=driver = "host-x86_64-cpu"',
    'config=property = "svm"',
    'config=driver = "EPYC-x86_64-cpu"',
    'config=[action "x"]',
    'config=some = "\tthing"',
    "config-read=19",
]


@pytest.mark.parametrize(
    ("text", "is_in_same_namespace", "lines"),
    [
        (INCUS, True, INCUS_LINES),
        (INCUS, False, []),
        ("", True, []),
        (None, True, []),
        (f"[drive]\n#{'x' * 1022}[global]\n", True, ["config=?", "config-read=2"]),
    ],
)
def test_of_the_file_that_incus_writes_what_may_change_the_cpu_is_printed(
    machine: Machine, probe: Probe, text: str | None, lines: list[str], *, is_in_same_namespace: bool
) -> None:
    machine.process(5, b"kvm", b"-readconfig", b"/run/incus/ci-1/qemu.conf")
    machine.mount_namespaces(is_same=is_in_same_namespace)
    if text is not None:
        (machine.root / "run/incus/ci-1").mkdir(parents=True)
        (machine.root / "run/incus/ci-1/qemu.conf").write_text(text)
    assert probe()[CMDLINES].text.strip().splitlines() == [
        "5 program=kvm",
        "5 readconfig=",
        *(f"5 {line}" for line in lines),
    ]


@pytest.mark.parametrize(
    "path", ["/run/incus/../secret/qemu.conf", "/run/other/ci-1/qemu.conf", "/run/incus/ci-1/x.conf"]
)
def test_no_other_file_of_a_process_is_read(machine: Machine, probe: Probe, path: str) -> None:
    machine.process(5, b"kvm", b"-readconfig", path.encode())
    machine.mount_namespaces(is_same=True)
    for name in ("incus/ci-1/x.conf", "secret/qemu.conf", "other/ci-1/qemu.conf"):
        (machine.root / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / "run" / name).write_text(f"[global]\n{STAYS}\n")
    assert probe()[CMDLINES].text.strip().splitlines() == ["5 program=kvm", "5 readconfig="]


def test_only_a_descriptor_of_a_vm_counts(machine: Machine, probe: Probe) -> None:
    machine.process(293, b"a", descriptors=("/dev/kvm", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"))
    machine.process(294, b"b", descriptors=("/dev/kvm", "/x/1 -> anon_inode:kvm-vm", "anon_inode:[eventfd]"))
    machine.process(295, b"c", descriptors=("/x/\n/proc/999/fd:\nl 1 -> anon_inode:kvm-vm", "/x/anon_inode:kvm-vm"))
    reading = probe()[HOLDERS]
    assert (reading.text.strip(), reading.status) == ("293", Status.OK)


def test_without_a_view_of_all_processes_the_answer_is_not_whole(machine: Machine, probe: Probe) -> None:
    (machine.root / "proc" / "1" / "fd" / "0").unlink()
    (machine.root / "proc" / "1" / "cmdline").unlink()
    machine.process(293, b"a", descriptors=("anon_inode:kvm-vm",))
    readings = probe()
    assert (readings[HOLDERS].text.strip(), readings[HOLDERS].status) == ("293", Status.UNREADABLE)
    assert readings[CMDLINES].status is Status.UNREADABLE


@pytest.mark.parametrize("probe", ["dash", "bash"], indirect=True)
@pytest.mark.needs("dash", "bash")
def test_an_ls_that_lists_nothing_has_seen_nothing(machine: Machine, probe: Probe) -> None:
    machine.process(293, b"a", descriptors=("anon_inode:kvm-vm",))
    old = machine.root / "ls"
    old.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 1\n")
    old.chmod(0o755)
    reading = probe(machine.root)[HOLDERS]
    assert (reading.text.strip(), reading.status) == ("", Status.UNREADABLE)


@pytest.mark.needs("busybox")
def test_busyboxs_ls_sees_the_same(machine: Machine, probe: Probe) -> None:
    machine.process(293, b"a", descriptors=("/dev/kvm", "anon_inode:kvm-vm"))
    machine.process(295, b"c", descriptors=("/x/\n/proc/999/fd:\nl 1 -> anon_inode:kvm-vm",))
    (machine.root / "ls").symlink_to(program("busybox") or "")
    reading = probe(machine.root)[HOLDERS]
    assert (reading.text.strip(), reading.status) == ("293", Status.OK)


def test_counters_are_read_twice_where_an_l2_ever_ran(machine: Machine, probe: Probe) -> None:
    machine.counts("421-14", 6235, 1, 0)
    machine.counts("464-14", 0, 0)
    readings = probe()
    expected = ["421-14/nested_run=6235", "421-14/vcpu0/guest_mode=1", "421-14/vcpu1/guest_mode=0"]
    for source in (DEBUGFS, f"{DEBUGFS}  # again"):
        lines = readings[source].text.strip().splitlines()
        assert lines[:3] == expected
        assert lines[3] == "464-14/nested_run=0"


def test_counters_that_are_all_0_are_read_once(machine: Machine, probe: Probe) -> None:
    machine.counts("464-14", 0, 0)
    readings = probe()
    assert "464-14/nested_run=0" in readings[DEBUGFS].text
    assert f"{DEBUGFS}  # again" not in readings


def test_a_kernel_without_them_has_none(machine: Machine, probe: Probe) -> None:
    assert machine.root.is_dir()
    assert probe()[DEBUGFS].status is Status.ABSENT
