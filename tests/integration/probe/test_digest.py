"""Whatever of the probe's readings changes on a real host, the digest is another one; and else it is the same."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nested_kvm.connection import connect
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import NotObserved
from nested_kvm.evidence.digest import FILES, digest_of, digest_script, take_digest
from nested_kvm.evidence.observe import observe
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.results.incremental import TargetDigest
from tests.integration.connection.test_libvirt_tunnel import LIBVIRTD
from tests.integration.probe.probing import NONCE, SHELLS
from tests.support.living_host import LivingHost, start_host
from tests.support.needs import program
from tests.support.sshd import SshdFactory
from tests.unit.evidence.test_digest_coverage import covering

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("accounts"), pytest.mark.needs("kmod")]

AN_HOUR = 3600
PARAMETERS = "/sys/module/kvm_amd/parameters"
DRAWS = 60


@pytest.fixture(scope="module")
def host(start_sshd: SshdFactory, tmp_path_factory: pytest.TempPathFactory) -> LivingHost:
    root = tmp_path_factory.mktemp("living")
    for folder in (root, *root.parents[:3]):
        folder.chmod(0o755)
    return start_host(start_sshd, root)


@pytest.fixture(scope="module")
def connection(host: LivingHost) -> Iterator[SshConnection]:
    found = connect(host.sshd.address("root"), host.sshd.client(), name="kvm-a")
    assert isinstance(found, SshConnection)
    with closing(found):
        yield found


Take = Callable[..., TargetDigest]


@pytest.fixture
def digest(host: LivingHost, connection: SshConnection) -> Take:
    """Take the digest as it will be an hour later, when no file has just changed.

    Without libvirt's sockets: the host shares this machine's network namespace, and other tests may run a libvirt.
    """
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy())

    def take(libvirt: str = "no") -> TargetDigest:
        found = connection.execute(digest_script(), NONCE, libvirt, "")
        readings = parse_answer(found.stdout, NONCE).readings
        return digest_of({**readings, FILES: in_an_hour(readings[FILES])}, target, host.sshd.client())

    return take


def in_an_hour(files: Reading) -> Reading:
    now, _, rest = files.text.partition(" ")
    return replace(files, text=f"{int(now) + AN_HOUR} {rest}") if now.isdecimal() else files


Change = Callable[[LivingHost], None]


def rewritten(name: str) -> Change:
    """The same size and the same modification time, in place."""

    def change(host: LivingHost) -> None:
        path = host.path(name)
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return change


def written(name: str, text: str) -> Change:
    return lambda host: host.write(name, text)


def removed(name: str) -> Change:
    return lambda host: host.path(name).unlink()


def linked(name: str, to: str) -> Change:
    def change(host: LivingHost) -> None:
        host.path(name).unlink(missing_ok=True)
        host.path(name).symlink_to(to)

    return change


def within(script: str) -> Change:
    return lambda host: host.within(script)


def running(command: str, preparation: str = ":") -> Change:
    """A process that has its own command line: until then it is a copy of the shell that started it."""
    script = f"""{preparation}; {command} </dev/null >/dev/null 2>&1 &
        until grep -qz 'qemu-system-x86_64$' /proc/$!/cmdline && ! grep -qz bash /proc/$!/cmdline; do sleep 0.1; done"""
    return lambda host: host.within(script)


def stubbed(name: str, script: str) -> Change:
    return lambda host: host.sshd.add_program(name, f"#!/bin/sh\n{script}\n")


def account(host: LivingHost) -> None:
    with host.path("/etc/passwd").open("a") as file:
        file.write("libvirt-qemu:x:64999:64999::/:/bin/false\n")


CHANGES: dict[str, tuple[str, Change]] = {
    "a parameter": ("KVM", written(f"{PARAMETERS}/nested", "0\n")),
    "another module's parameter": ("KVM", written("/sys/module/kvm/parameters/ignore_msrs", "Y\n")),
    "the module's users": ("KVM", written("/sys/module/kvm/refcnt", "7\n")),
    "another hypervisor": ("KVM", lambda host: host.path("/sys/module/vboxdrv").mkdir()),
    "a live patch": ("KVM", written("/sys/kernel/livepatch/fix/enabled", "1\n")),
    "a VM": ("KVM", written("/sys/kernel/debug/kvm/1-12/nested_run", "0\n")),
    "an L2": ("KVM", written("/sys/kernel/debug/kvm/1-12/nested_run", "9\n")),
    "a vCPU in an L2": ("KVM", written("/sys/kernel/debug/kvm/1-12/vcpu0/guest_mode", "1\n")),
    "a VMM": (
        "processes",
        running("/run/qemu-system-x86_64 600", "cp /bin/sleep /run/qemu-system-x86_64"),
    ),
    "a VMM that took the name of another program": (
        "processes",
        running("bash -c 'exec -a /usr/bin/qemu-system-x86_64 tail -f /dev/null'"),
    ),
    "the boot": ("boot", written("/boot_id", "00000000-9335-4ce6-a871-ad90dfacf56a\n")),
    "the running command line": ("boot", written("/proc/cmdline", "quiet kvm_amd.nested=0\n")),
    "the CPUs": ("boot", written("/sys/devices/system/cpu/online", "0-3\n")),
    "a vulnerability": ("boot", written("/sys/devices/system/cpu/vulnerabilities/l1tf", "Vulnerable\n")),
    "the product": ("boot", written("/sys/class/dmi/id/product_name", "KVM\n")),
    "a file of modprobe.d": (FILES, rewritten("/etc/modprobe.d/kvm.conf")),
    "a new file of modprobe.d": (FILES, written("/etc/modprobe.d/new.conf", "options kvm_amd nested=0\n")),
    "a hidden file of modprobe.d": (FILES, written("/etc/modprobe.d/.new.conf", "options kvm_amd nested=0\n")),
    "a file less in modprobe.d": (FILES, removed("/etc/modprobe.d/iwlwifi.conf")),
    "a file's right": (FILES, lambda host: host.path("/etc/modprobe.d/kvm.conf").chmod(0o600)),
    "a masked file": ("links and namespaces", linked("/etc/modprobe.d/mdadm.conf", "/dev/null")),
    "a link elsewhere": ("links and namespaces", linked("/etc/modprobe.d/mdadm.conf", "kvm.conf")),
    "what is behind a link": (FILES, rewritten("/etc/modprobe.d/kvm.conf")),
    "grub": (FILES, rewritten("/etc/default/grub")),
    "grub.d": (FILES, written("/etc/default/grub.d/new.cfg", "GRUB_CMDLINE_LINUX=x\n")),
    "grub.cfg": (FILES, rewritten("/boot/grub/grub.cfg")),
    "grubenv": (FILES, written("/boot/grub2/grubenv", "kernelopts=quiet\n")),
    "kernel-install": (FILES, rewritten("/etc/kernel/cmdline")),
    "a boot entry": (FILES, rewritten("/boot/loader/entries/1.conf")),
    "another boot entry": (FILES, written("/boot/efi/loader/entries/2.conf", "options x\n")),
    "an image of the ESP": (FILES, written("/boot/EFI/Linux/one.efi", "x")),
    "a rule of udev": (FILES, rewritten("/etc/udev/rules.d/99-kvm.rules")),
    "what loads at boot": (FILES, rewritten("/etc/modules-load.d/kvm.conf")),
    "the device's mode": (FILES, within("chmod 666 /dev/kvm")),
    "an account": ("accounts", account),
    "the group file": (FILES, rewritten("/etc/group")),
    "a kernel module": (FILES, rewritten(f"/lib/modules/{os.uname().release}/kernel/arch/x86/kvm/kvm-amd.ko")),
    "the module index": (FILES, rewritten(f"/lib/modules/{os.uname().release}/modules.alias.bin")),
    "another kernel": (FILES, written("/lib/modules/7.0/modules.dep", "")),
    "packages of dpkg": (FILES, rewritten("/var/lib/dpkg/status")),
    "packages of rpm": (FILES, written("/var/lib/rpm/rpmdb.sqlite", "x")),
    "the kernel's changelog": (
        FILES,
        written(f"/usr/share/doc/linux-image-{os.uname().release}/changelog.Debian.gz", "x"),
    ),
    "qemu.conf": (FILES, rewritten("/etc/libvirt/qemu.conf")),
    "the account of QEMU": ("accounts", written("/etc/libvirt/qemu.conf", 'user = "+65534"\ngroup = "root"\n')),
    "a domain": (FILES, rewritten("/etc/libvirt/qemu/ci-1.xml")),
    "another domain": (FILES, written("/etc/libvirt/qemu/ci-2.xml", "<domain/>")),
    "a running domain": (FILES, rewritten("/run/libvirt/qemu/ci-1.xml")),
    "a domain that stopped": (FILES, removed("/run/libvirt/qemu/ci-1.xml")),
    "a saved state": (FILES, written("/var/lib/libvirt/qemu/save/ci-2.save", "x")),
    "a snapshot": (FILES, written("/var/lib/libvirt/qemu/snapshot/ci-1/two.xml", "x")),
    "what libvirt remembers": (FILES, rewritten("/var/cache/libvirt/qemu/capabilities/one.xml")),
    "the emulator": (FILES, lambda host: host.path("/boot/qemu").touch()),
    "a guest of Incus": (FILES, rewritten("/run/incus/one/qemu.conf")),
    "libvirt-guests": (FILES, rewritten("/etc/default/libvirt-guests")),
    "the unit of libvirt-guests": (FILES, written("/etc/systemd/system/a.wants/libvirt-guests.service", "")),
    "another VMM's program": (FILES, stubbed("firecracker", "exit 1")),
    "the kernel log": ("kernel log", stubbed("dmesg", "echo 'kvm_amd: Nested Virtualization disabled'")),
    "a kernel log that cannot be read": ("kernel log", stubbed("dmesg", "echo denied; exit 1")),
    "a mount": ("mounts and sockets", within("mount -t tmpfs none /etc/kernel")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_each_kind_changes_the_digest(host: LivingHost, digest: Take, what: str) -> None:
    part, change = CHANGES[what]
    before = digest()
    assert digest().differences(before) == [], "nothing changed, and the digest did"
    change(host)
    assert part in digest().differences(before)


def test_a_libvirt_that_no_longer_listens_changes_it(
    digest: Take,
) -> None:
    folder = Path("/run/libvirt")
    had = folder.is_dir()
    folder.mkdir(exist_ok=True)
    path = folder / "libvirt-sock-of-a-test"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        try:
            before = digest("yes")
            listener.listen()
            after = digest("yes")
        finally:
            path.unlink()
            if not had:
                folder.rmdir()
    assert "mounts and sockets" in after.differences(before)


def drawn_change(host: LivingHost, draw: random.Random) -> str:
    """Change one file among those that the host shows, in a way that leaves as few traces as possible."""
    places = ("etc/modprobe.d", "etc/default/grub.d", "etc/udev/rules.d", "boot/loader/entries", "etc/libvirt/qemu")
    path = draw.choice(sorted(each for place in places for each in (host.root / place).iterdir() if each.is_file()))
    status = path.stat()
    kind = draw.choice(["rewrite", "replace", "append", "mode", "time", "rename"])
    if kind == "rewrite":
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    elif kind == "replace":
        beside = path.with_name("beside")
        shutil.copy2(path, beside)
        beside.replace(path)
    elif kind == "append":
        with path.open("ab") as file:
            file.write(b"#\n")
    elif kind == "mode":
        path.chmod(status.st_mode ^ 0o040)
    elif kind == "rename":
        path = path.rename(path.with_name(f"a{path.name}"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - (kind == "time")))
    return f"{kind} of {path.name}"


@pytest.mark.parametrize("seed", range(3))
def test_any_drawn_change_of_a_file_changes_the_digest(host: LivingHost, digest: Take, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - drawn for a test
    before = digest()
    for _ in range(DRAWS // 3):
        what = drawn_change(host, draw)
        after = digest()
        assert after.differences(before), what
        before = after


def test_every_reading_is_one_that_a_part_of_the_digest_covers(host: LivingHost, connection: SshConnection) -> None:
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy())
    sources = observe(target, connection, host.sshd.client()).readings
    assert [each for each in sources if covering(each) is None] == []


def test_the_probe_itself_changes_nothing(host: LivingHost, connection: SshConnection, digest: Take) -> None:
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy())
    before = digest()
    observe(target, connection, host.sshd.client())
    assert digest().differences(before) == []


def test_a_program_that_only_reads_kvms_files_is_no_change(host: LivingHost, digest: Take) -> None:
    before = digest()
    host.within("tail -f /sys/module/kvm/refcnt </dev/null >/dev/null 2>&1 &")
    assert digest().differences(before) == []


def test_a_file_that_has_just_changed_gives_no_digest(host: LivingHost, connection: SshConnection) -> None:
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy())
    host.path("/etc/default/grub").touch()
    with pytest.raises(NotObserved, match="had just changed"):
        take_digest(target, connection, host.sshd.client())


def test_a_vm_whose_process_cannot_be_known_gives_no_digest(host: LivingHost, digest: Take) -> None:
    debugfs = host.path("/sys/kernel/debug/kvm")
    host.write("/sys/module/kvm_amd/refcnt", "1\n")
    debugfs.mkdir(exist_ok=True, parents=True)
    digest()
    debugfs.rename(debugfs.with_name("elsewhere"))
    with pytest.raises(NotObserved, match="without /sys/kernel/debug/kvm"):
        digest()
    debugfs.with_name("elsewhere").rename(debugfs)
    (debugfs / "999999-9").mkdir()
    with pytest.raises(NotObserved, match="999999, cannot be seen"):
        digest()
    (debugfs / "999999-9").rmdir()
    host.write("/sys/module/kvm_amd/refcnt", "0\n")


def test_a_counter_of_a_vm_that_libvirt_may_know_and_the_kernel_hides_gives_no_digest(
    host: LivingHost, digest: Take
) -> None:
    """As with Secure Boot, where the file is listed and cannot be read, also not by root."""
    counter = host.path("/sys/kernel/debug/kvm/1-13/nested_run")
    counter.parent.mkdir(parents=True)
    counter.write_text("0\n")
    digest("yes")
    counter.unlink()
    counter.mkdir()
    with pytest.raises(NotObserved, match="how often VM 1-13 entered a nested guest cannot be read"):
        digest("yes")
    digest("no")
    counter.rmdir()
    counter.parent.rmdir()


def test_an_account_that_may_not_list_libvirts_folders_gives_no_digest(host: LivingHost) -> None:
    host.path("/etc/libvirt/qemu").chmod(0o700)
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address(), Policy(), libvirt="qemu:///system")
    found = connect(host.sshd.address(), host.sshd.client(), name="kvm-a")
    with pytest.raises(NotObserved, match="may not list /etc/libvirt/qemu"):
        take_digest(target, found, host.sshd.client())
    found.close()


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu+tcp://other/system", "xen:///system"])
def test_another_libvirt_gives_no_digest(host: LivingHost, connection: SshConnection, uri: str) -> None:
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy(), libvirt=uri)
    with pytest.raises(NotObserved, match=uri.replace("+", r"\+")):
        take_digest(target, connection, host.sshd.client())


@pytest.mark.parametrize("name", ["grep", "stat", "id"])
def test_a_program_that_fails_gives_no_digest(host: LivingHost, digest: Take, name: str) -> None:
    """Two failures are alike, and would seem to be the same reading."""
    host.sshd.add_program(name, "#!/bin/sh\nexit 1\n")
    try:
        with pytest.raises(NotObserved):
            digest()
    finally:
        (host.sshd.programs / name).unlink()
    digest()


@pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS])
def test_every_shell_prints_every_part(shell: str, host: LivingHost) -> None:
    applet = ["sh"] if shell == "busybox" else []
    command = [program(shell) or shell, *applet, "-c", digest_script(), "sh", NONCE, "no", ""]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    readings = parse_answer(done.stdout, NONCE).readings
    target = Target("kvm-a", TargetLevel.L0, host.sshd.address("root"), Policy())
    seen = {**readings, "blind": replace(readings["blind"], text="")}
    seen[FILES] = in_an_hour(readings[FILES])
    assert len(digest_of(seen, target, host.sshd.client()).parts) == len(seen)


@pytest.mark.needs("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    path = Path(__file__).parents[3] / "nested_kvm" / "evidence" / "digest" / "digest.sh"
    done = subprocess.run([program("shellcheck") or "", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


DOMAIN = """\
<domain type='qemu'><name>ci-1</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='custom' match='exact'><model>qemu64</model></cpu>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>
"""
OWN_FILES = """\
mkdir /run/qemu
mount --bind /run/qemu /etc/libvirt/qemu
cat >/run/qemu.conf <<'END'
stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
END
mount --bind /run/qemu.conf /etc/libvirt/qemu.conf
"""
VIRSH = "virsh -q -c qemu:///system"


@pytest.mark.needs("libvirtd", "libvirt-python", "virsh", "qemu-system-x86_64")
def test_what_a_real_libvirt_is_asked_changes_nothing_and_what_it_does_shows(start_sshd: SshdFactory) -> None:
    host = start_sshd(prelude=OWN_FILES + LIBVIRTD)
    target = Target("kvm-a", TargetLevel.L0, host.address("root"), Policy(), libvirt="qemu:///system")
    with closing(connect(target.address or host.address(), host.client(probe_timeout=60.0), name="kvm-a")) as found:

        def take() -> TargetDigest:
            readings = parse_answer(found.execute(digest_script(), NONCE, "yes", "").stdout, NONCE).readings
            # Without a /dev/kvm that it can use, this libvirt probes its QEMU again whenever it is asked.
            files = [line for line in readings[FILES].text.splitlines() if "/var/cache/libvirt" not in line]
            lasting = in_an_hour(replace(readings[FILES], text="\n".join(files)))
            seen = {**readings, FILES: lasting, "blind": replace(readings["blind"], text="")}
            return digest_of(seen, target, host.client())

        def ask() -> None:
            answer = observe(target, found, host.client(probe_timeout=60.0)).libvirt
            assert answer is not None
            assert answer.refusal is None

        ask()
        before = take()
        for command, part in (
            ("define /dev/stdin", FILES),
            ("start ci-1", "processes"),
            ("setmaxmem ci-1 65536 --config", FILES),
            ("destroy ci-1", "processes"),
            ("undefine ci-1", FILES),
        ):
            done = found.execute(f"{VIRSH} {command} <<'END'\n{DOMAIN}END\n")
            assert done.exit_status == 0, done.stderr
            after = take()
            assert part in after.differences(before), command
            ask()
            others = {"mounts and sockets", "kernel log"}
            assert set(take().differences(after)) <= others, f"asking changed it after {command}"
            before = after
