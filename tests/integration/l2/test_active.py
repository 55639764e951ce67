"""`--active` over a real SSH connection: one more execution where an L2 is to run, and none anywhere else."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nested_kvm.connection import connect
from nested_kvm.evidence.l2 import BY_PYTHON, BY_QEMU, LEFT, ON_XEN
from nested_kvm.evidence.l2.boot import boot_l2
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.l2_boot import l2_boot_of
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from tests.integration.l2.test_boot import until
from tests.support.bundles import bundle_of
from tests.support.guests import CPU, ssh_config, with_cpuinfo
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_suite

pytestmark = [pytest.mark.needs("sshd", "accounts", "qemu-system-x86_64"), pytest.mark.alone]

DEVICE = """
mkdir /run/dev
for name in null zero random urandom; do
    : >"/run/dev/$name"
    mount --bind "/dev/$name" "/run/dev/$name"
done
ln -s /proc/self/fd /run/dev/fd
: >/run/dev/kvm
mount --rbind /run/dev /dev
"""
"""What stands at /dev/kvm is no device: nothing of the machine's own KVM is ever used."""
EMULATE = """\
#!/bin/sh
for word do
    shift
    case $word in kvm) word=tcg,tb-size=16 ;; host) word=max ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/qemu-system-x86_64 "$@"
"""
HANG = "#!/bin/sh\nexec sleep 86399.5\n"
HANGING = b"sleep\x0086399.5\x00"


@pytest.fixture(scope="module")
def guest(start_sshd: SshdFactory) -> Sshd:
    cpus = with_cpuinfo("\n".join(CPU.format(number=number, flag=" svm") for number in range(2)))
    return start_sshd(prelude=cpus + DEVICE)


@pytest.fixture
def config(guest: Sshd, tmp_path: Path) -> Path:
    guest.add_program("qemu-system-x86_64", EMULATE)
    return ssh_config(tmp_path, {"l1": guest})


def audit(config: Path, reports: Path, *options: str) -> SuiteRun:
    return run_suite("--hosts=ssh://l1", "--level=L1", f"--ssh-config={config}", *options, report_dir=reports)


def test_with_the_flag_an_l2_is_started_over_the_same_connection(guest: Sshd, config: Path, tmp_path: Path) -> None:
    before = (guest.logins, guest.executions)
    run = audit(config, tmp_path / "reports", "--active")
    assert (guest.logins - before[0], guest.executions - before[1]) == (1, 2)
    assert run.outcomes("l1")["L1-NST-01"] == "pass", run.text
    reading = next(each for each in run.evidence("l1")["readings"] if each["source"] == BY_QEMU)
    assert reading["exit_status"] == LEFT
    assert_valid(run)
    again = run_suite(f"--evidence={run.reports / 'evidence'}", report_dir=tmp_path / "again")
    assert again.document["results"] == run.document["results"]
    assert again.document["diagnoses"] == run.document["diagnoses"]


def test_without_it_nothing_is_started(guest: Sshd, config: Path, tmp_path: Path) -> None:
    before = guest.executions
    run = audit(config, tmp_path / "reports")
    assert guest.executions - before == 1
    assert run.outcomes("l1")["L1-NST-01"] == "notchecked"
    assert "no test VM (L2) was started in the guest: that needs --active" in run.messages("l1")
    assert not {BY_QEMU, BY_PYTHON} & {each["source"] for each in run.evidence("l1")["readings"]}


def test_where_nothing_is_to_nest_nothing_is_started(guest: Sshd, config: Path, tmp_path: Path) -> None:
    before = guest.executions
    run = audit(config, tmp_path / "reports", "--active", "--nested=forbidden")
    assert guest.executions - before == 1
    assert run.outcomes("l1")["L1-NST-01"] == "notapplicable"


def test_on_a_host_nothing_is_started(guest: Sshd, config: Path, tmp_path: Path) -> None:
    before = guest.executions
    options = ("--active", "--level=L0")
    run = run_suite("--hosts=ssh://l1", f"--ssh-config={config}", *options, report_dir=tmp_path / "reports")
    assert BY_QEMU not in {each["source"] for each in run.evidence("l1")["readings"]}
    assert guest.executions - before <= 2, "the probe, and libvirt's way"


def test_for_a_candidate_nothing_is_started_where_a_guest_turns_up(config: Path, tmp_path: Path) -> None:
    """Its level is not declared: by its CPU it is a guest, in which `--active` alone starts an L2."""
    candidate = tmp_path / "ci.xml"
    candidate.write_text("<domain type='kvm'><name>ci</name><os><type>hvm</type></os></domain>")
    words = ("--hosts=ssh://l1", f"--ssh-config={config}", "--active")
    alone = run_suite(*words, report_dir=tmp_path / "alone")
    assert BY_QEMU in {each["source"] for each in alone.evidence("l1")["readings"]}
    run = run_suite(*words, f"--candidate={candidate}", report_dir=tmp_path / "reports")
    assert not {BY_QEMU, BY_PYTHON} & {each["source"] for each in run.evidence("l1")["readings"]}
    assert "not known to be an L0" in run.text


def test_an_interrupted_run_leaves_no_l2(guest: Sshd, config: Path, tmp_path: Path) -> None:
    guest.add_program("qemu-system-x86_64", HANG)
    options = ("--hosts=ssh://l1", "--level=L1", f"--ssh-config={config}", "--active", "--probe-timeout=600")
    with subprocess.Popen(
        command_line(*options, report_dir=tmp_path / "reports"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert until(hangs), "no L2 was started"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)
    assert until(lambda: not hangs()), "what was started runs on"


@pytest.fixture
def target(guest: Sshd) -> Target:
    return Target("l1", TargetLevel.L1, guest.address(), Policy())


READINGS = {"uname -m": Reading("uname -m", Status.OK, "x86_64"), "/dev/kvm": Reading("/dev/kvm", Status.OK, "c")}


def test_a_connection_that_broke_is_no_finding(guest: Sshd, target: Target) -> None:
    with closing(connect(guest.address(), guest.client(), name="l1")) as connection:
        connection.close()
        readings = boot_l2(target, connection, guest.client(), READINGS)
    assert readings == {BY_QEMU: Reading(BY_QEMU, Status.UNREADABLE, "l1: the connection was closed")}


@pytest.mark.parametrize(
    ("source", "reading"),
    [("uname -m", Reading("uname -m", Status.OK, "aarch64")), ("uname -m", Reading("uname -m", Status.MISSING))],
)
def test_only_on_x86_is_anything_started(guest: Sshd, target: Target, source: str, reading: Reading) -> None:
    with closing(connect(guest.address(), guest.client(), name="l1")) as connection:
        before = guest.executions
        assert boot_l2(target, connection, guest.client(), READINGS | {source: reading}) == {}
        connection.execute("true")
    assert guest.executions - before == 1


def test_without_the_device_nothing_is_started_and_that_is_kept(guest: Sshd, target: Target) -> None:
    absent = Reading("/dev/kvm", Status.ABSENT)
    with closing(connect(guest.address(), guest.client(), name="l1")) as connection:
        before = guest.executions
        readings = boot_l2(target, connection, guest.client(), READINGS | {"/dev/kvm": absent})
        connection.execute("true")
    assert guest.executions - before == 1
    assert readings[BY_QEMU].status is Status.ABSENT


def hangs() -> bool:
    return any(cmdline == HANGING for cmdline in cmdlines())


def cmdlines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


XEN = {
    "/sys/class/dmi/id/sys_vendor": Reading("/sys/class/dmi/id/sys_vendor", Status.OK, "Xen"),
    "/sys/class/dmi/id/product_name": Reading("/sys/class/dmi/id/product_name", Status.OK, "HVM domU"),
}


@pytest.mark.usefixtures("config")
def test_on_xen_nothing_is_started_unless_that_is_asked_for(guest: Sshd, target: Target) -> None:
    with closing(connect(guest.address(), guest.client(), name="l1")) as connection:
        refused = boot_l2(target, connection, guest.client(), READINGS | XEN)
        asked = boot_l2(target, connection, replace(guest.client(), active_on_xen=True), READINGS | XEN)
    assert refused[BY_QEMU].text == ON_XEN
    assert asked[BY_QEMU].exit_status == LEFT
    verdict = l2_boot_of(bundle_of(*refused.values()))
    assert (verdict.answers, verdict.reason) == (None, ON_XEN)
