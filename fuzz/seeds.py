"""Where the fuzzer starts: captures of real machines, most of them the scenarios' own."""

import json
import lzma
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Level, Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from tests.support.recorded import ABSENT, HOST, record
from tests.support.scenario import RECORDED, base, reading

ROOT = Path(__file__).parent.parent
LEVELS = (Level.L0, Level.L1, Level.DOMAIN)
_BASES = ("amd-l0", "amd-l1", "intel-l0", "intel-l1")
_UUID = "2a845d3e-16b2-4ad8-a3b3-28c6c445cc8f"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEpZ2rcOe9q2QfW6wPYnV1L1GnUOpmyQO2sZ0d0jP3Rq"


@cache
def complete_host() -> Mapping[str, Reading]:
    """Every reading of a host on AMD that complies."""
    found = {source: reading(source, given) for source, given in base("amd-l0").readings.items()}
    found |= {source: Reading(source, Status.ABSENT) for source in ABSENT}
    for source, text in HOST.items():
        found[source] = Reading(source, Status.OK, text, None if source.startswith("/") else 0)
    return found


@cache
def sources() -> tuple[str, ...]:
    """The names of its readings, in one order."""
    return tuple(sorted(complete_host()))


def domain_record(name: str, xml: str | None, counters: Mapping[str, str] | None = None) -> DomainRecord:
    """A running domain of libvirt's."""
    looks = () if counters is None else (counters, counters)
    return DomainRecord(name, _UUID, "running", inactive_xml=xml, live_xml=xml, vcpu_statistics=looks)


def _texts(source: str) -> Iterator[bytes]:
    for name in _BASES:
        given = base(name).readings.get(source)
        if given is not None:
            yield reading(source, given).text.encode()


def evidence() -> Iterator[bytes]:
    """Evidence as a run writes it."""
    with TemporaryDirectory() as folder:
        yield record(Path(folder), "kvm-a").read_bytes()
        yield record(Path(folder), "kvm-b", refusal="no right").read_bytes()


@cache
def _answer() -> bytes:
    command = ["sh", "-s", "--", "", "2", "always", "test:///default"]
    return subprocess.run(command, input=probe_script().encode(), stdout=subprocess.PIPE, check=True).stdout  # noqa: S603 - the probe, on this machine


def answers() -> Iterator[bytes]:
    """What the probe answers of this machine, whole, through a terminal, and cut."""
    yield _answer()
    yield _answer().replace(b"\n", b"\r\n")
    yield _answer()[:2000]


def archives() -> Iterator[bytes]:
    """The example archives, unpacked to tars: a fuzzer gets nowhere in compressed bytes."""
    for path in sorted((ROOT / "examples" / "archives").iterdir()):
        yield lzma.decompress(path.read_bytes())


def engine() -> Iterator[bytes]:
    """What Salt and Ansible make of an answer."""
    text = _answer().decode("utf-8", "replace")[:3000]
    yield json.dumps({"kvm-a": text, "kvm-b": False}).encode()
    results = {"kvm-a": {"rc": 0, "stdout": text}, "down": {"unreachable": True, "msg": "x"}}
    yield json.dumps({"plays": [{"tasks": [{"hosts": results}]}]}).encode()


def domain_xml() -> Iterator[bytes]:
    """Domains of a real libvirt."""
    for path in sorted(RECORDED.glob("*.xml")):
        yield path.read_bytes()


def modprobe() -> Iterator[bytes]:
    """Configurations of the scenarios, and what kmod understands besides."""
    yield from _texts("/etc/modprobe.d/kvm.conf")
    yield b"options kvm_amd nested=1\nblacklist kvm\nsoftdep kvm_amd pre: kvm post: x\nalias a-* kvm_amd\n"
    yield b"install kvm_amd /sbin/modprobe --ignore-install kvm_amd nested=0; true\n# a \\\noptions k*"


def cpuinfo() -> Iterator[bytes]:
    """CPUs of the scenarios."""
    yield from _texts("/proc/cpuinfo")
    yield HOST["/proc/cpuinfo"].encode()


def qemu_command_line() -> Iterator[bytes]:
    """QEMU processes as the probe reports them."""
    yield b"100 program=qemu-system-x86_64\n100 name=guest=ci-1,debug-threads=on\n100 uuid=%b\n" % _UUID.encode() + (
        b"100 accel=kvm\n100 cpu=EPYC-Milan,svm=on,-x2apic,+npt\n100 machine=pc-q35-7.2,accel=kvm:tcg\n"
    )
    yield b"7 program=kvm\n7 enable-kvm=on\n7 cpu=host,migratable=on,svm=off\n8 program=firecracker\n"


def any_reading() -> Iterator[bytes]:
    """Every reading of a complete host behind the byte that chooses it."""
    for number, source in enumerate(sources()):
        yield bytes([number]) + complete_host()[source].text.encode()


def domstats() -> Iterator[bytes]:
    """Libvirt's counters of two domains."""
    yield b"Domain: 'ci-1'\n  vcpu.current=2\n  vcpu.0.nested_run.sum=12\n  vcpu.0.guest_mode.cur=yes\n\nDomain: 'x'\n"
    yield b"Domain: ''\n  vcpu.current=\n  vcpu.0.nested_run.sum=99999999999999999999\n  vcpu.1.guest_mode.cur=no\n"


def known_hosts() -> Iterator[bytes]:
    """Lines of every kind."""
    yield f"kvm-a.example.net,192.0.2.1 {_KEY} comment\n[kvm-a.example.net]:2222 {_KEY}\n".encode()
    yield f"@cert-authority *.example.net,!kvm-b* {_KEY}\n@revoked * {_KEY}\n# comment\n\n".encode()
    yield f"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {_KEY}\n".encode()


def access() -> Iterator[bytes]:
    """An account with its groups, and the list of who may."""
    yield (
        b"uid=64055(libvirt-qemu) gid=994(kvm) groups=994(kvm),64055(libvirt-qemu) context=x\0"
        b"user::rw-\nuser:64055:rw-\t#effective:r--\ngroup::rw-\nmask::rw-\nother::---\n"
    )


def capabilities() -> Iterator[bytes]:
    """What virsh prints of a libvirt that has KVM."""
    yield (
        b"<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/>"
        b"</arch></guest></capabilities>"
    )
    yield b"Compiled against library: libvirt 9.0.0\nRunning against daemon: 9.0.0\n"


def snapshot_xml() -> Iterator[bytes]:
    """A snapshot with memory and one without."""
    for path in sorted(RECORDED.glob("*.xml"))[:2]:
        for memory in (b"internal", b"no"):
            inside = path.read_bytes().partition(b"?>")[2] or path.read_bytes()
            yield b"<domainsnapshot><name>s</name><memory snapshot='%b'/>%b</domainsnapshot>" % (memory, inside)


def l2() -> Iterator[bytes]:
    """An L2 that boots, and one that KVM refuses."""
    yield b"L2OK\n"
    yield b"qemu-system-x86_64: failed to initialize kvm: Permission denied\n"
    yield b"Could not access KVM kernel module: No such file or directory\n"


def waivers() -> Iterator[bytes]:
    """One with an end, and one without."""
    yield (
        b"waivers:\n- {control: L0-KVM-01, target: kvm-a, reason: x, approver: Grace, expires: 2026-04-30}\n"
        b"- {control: 'L0-*', target: '*', reason: x, approver: Grace, permanent: true} # why\n"
    )


def baseline() -> Iterator[bytes]:
    """The results of a run."""
    started = datetime(2026, 1, 1, tzinfo=UTC)
    target = TargetResult(
        name="kvm-a", level=TargetLevel.L0, host=None, address="ssh://kvm-a", observed=True, error=None
    )
    found = Result("L0-KVM-01", "kvm-a", "kvm-a", Outcome.FAIL, Severity.HIGH, "A title.", "it fails")
    run = Run("1", started, "0", "--hosts", started, 1, complete=True, targets=[target], results=ResultList([found]))
    yield "".join(results_json(run)).encode()


def ssh_config() -> Iterator[bytes]:
    """Blocks of every kind."""
    yield b"Host kvm-* !kvm-b\n  HostName %h.example.net\n  Port 2222\n  User root\n  IdentityFile ~/.ssh/%r\n"
    yield b"Match host kvm-a.example.net user root\n  ProxyJump jump,second:22\n  ConnectTimeout=5\n  HostKeyAlias x\n"
    yield b'Host *\n  UserKnownHostsFile "/a b" ~/c %d/x\n  StrictHostKeyChecking accept-new # why\n'


def inventory() -> Iterator[bytes]:
    """The inventories that come along."""
    for path in sorted((ROOT / "inventories").glob("*.yaml")):
        yield path.read_bytes()


@cache
def _definition_files() -> tuple[Path, ...]:
    return tuple(sorted(path for path in (ROOT / "examples" / "candidates").rglob("*") if path.is_file()))


def definition_names() -> tuple[str, ...]:
    """The names of the examples of guests that are not deployed, of every form."""
    return tuple(path.name for path in _definition_files())


def definitions() -> Iterator[bytes]:
    """These examples, each after a byte that chooses its name."""
    for number, path in enumerate(_definition_files()):
        yield bytes([number]) + path.read_bytes()


def ansible_inventory() -> Iterator[bytes]:
    """A fleet with every variable that places a host."""
    hosts = {
        "kvm-a": {"ansible_host": "192.0.2.1", "nested_level": "L0", "nested_policy": {"undeclared": "forbidden"}},
        "ci-1": {"nested_host": "kvm-a", "nested_domain": "ci", "ansible_ssh_common_args": "-J kvm-a -o Port=1"},
        "web": {"ansible_connection": "community.docker.docker", "ansible_become": "yes", "nested_libvirt": "none"},
    }
    yield json.dumps({"_meta": {"hostvars": hosts}, "all": {"hosts": list(hosts)}}).encode()
