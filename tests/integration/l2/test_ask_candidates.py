"""A host asked with `--active` about guests that it does not have: a real libvirtd, and a real QEMU by TCG.

There is no KVM here: what is sent to libvirt is changed to emulation on its way, and its answer back. Without KVM
libvirt translates named models only; the lab's own test asks a libvirt under KVM about every mode.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.connection import connect
from nested_kvm.evidence.expansion import expanded, translated
from nested_kvm.evidence.expansion.ask import MOST, ask_candidates
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.definition.libvirt_xml import domain_of_xml
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.asked_definition import asked_definition_of, why_unanswered
from nested_kvm.inventory.target import TargetLevel
from tests.integration.l2.test_ask_definitions import EMULATE
from tests.support.bundles import bundle_of
from tests.support.guests import CPU, ssh_config, with_cpuinfo
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import SuiteRun, run_suite

pytestmark = [pytest.mark.needs("sshd", "accounts", "libvirtd", "virsh", "qemu-system-x86_64")]

LIBVIRTD = """\
for directory in /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
done
printf 'auth_unix_rw = "none"\\nunix_sock_rw_perms = "0777"\\n' >/run/libvirtd.conf
libvirtd --daemon --config /run/libvirtd.conf
until test -S /run/libvirt/libvirt-sock; do sleep 0.02; done
"""
WITHOUT_KVM = """
mkdir /run/dev
for name in null zero random urandom full; do
    : >"/run/dev/$name"
    mount --bind "/dev/$name" "/run/dev/$name"
done
ln -s /proc/self/fd /run/dev/fd
ln -s /proc/self/fd/0 /run/dev/stdin
mount --rbind /run/dev /dev
"""
"""libvirt examines its QEMU before each answer where there is a /dev/kvm that it cannot use."""
MODULE = """\
mount -t tmpfs none /sys/module
for name in kvm kvm_amd; do mkdir -p "/sys/module/$name/parameters"; echo live >"/sys/module/$name/initstate"; done
echo 1 >/sys/module/kvm_amd/parameters/nested
"""
VIRSH = """\
#!/bin/sh
case $3 in
domxml-to-native)
    said=$(sed 's/type="kvm"/type="qemu"/' | /usr/bin/virsh "$@" 2>&1) || { echo "$said"; exit 1; }
    echo "$said" | sed -e 's/-accel tcg/-accel kvm/' -e 's#/usr/bin/qemu-system-x86_64#{qemu}#'
    ;;
*) exec /usr/bin/virsh "$@" ;;
esac
"""
DOMAIN = """\
<domain type='kvm'>
  <name>{name}</name>
  <memory unit='GiB'>8</memory>
  <vcpu>4</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type><kernel>/etc/shadow</kernel></os>
  {cpu}
  <devices>{emulator}<disk type='file'><source file='/var/lib/ci.qcow2'/><target dev='vda'/></disk></devices>
</domain>
"""
SVM = "<feature policy='require' name='svm'/>"
GIVES: Mapping[str, tuple[str, bool]] = {
    "named": ("<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model></cpu>", True),
    "with-svm": (f"<cpu><model>kvm64</model><topology sockets='2' cores='2' threads='1'/>{SVM}</cpu>", True),
    "without": ("<cpu><model>kvm64</model></cpu>", False),
    "disabled": ("<cpu><model>EPYC</model><feature policy='disable' name='svm'/></cpu>", False),
    "no-cpu": ("", True),
}
"""By TCG, which keeps the svm of a model that KVM turns off."""


def xml(name: str, cpu: str, *, machine: str = "q35", emulator: str = "") -> str:
    return DOMAIN.format(name=name, cpu=cpu, machine=machine, emulator=emulator and f"<emulator>{emulator}</emulator>")


def question(cpu: str, **settings: str) -> Question:
    found = domain_of_xml(xml("ci-1", cpu, **settings)).question
    assert isinstance(found, Question), found
    return found


@pytest.fixture(scope="module")
def host(start_sshd: SshdFactory) -> Sshd:
    cpus = with_cpuinfo("\n".join(CPU.format(number=number, flag=" svm") for number in range(2)))
    host = start_sshd(prelude=cpus + MODULE + WITHOUT_KVM + LIBVIRTD)
    host.add_program("qemu-emulated", EMULATE)
    return host


@pytest.fixture(autouse=True)
def virsh(host: Sshd) -> None:
    host.add_program("virsh", VIRSH.replace("{qemu}", str(host.programs / "qemu-emulated")))


def ask(
    host: Sshd,
    *questions: Question,
    level: TargetLevel = TargetLevel.L0,
    uname: str = "x86_64",
    libvirt: str | None = "qemu:///system",
    probe_timeout: float = 60,
) -> tuple[dict[str, Reading], int]:
    bundle = bundle_of(uname=uname)
    bundle = replace(bundle, target=replace(bundle.target, level=level, libvirt=libvirt))
    given = replace(host.client(), probe_timeout=probe_timeout)
    with closing(connect(host.address(), given, name="kvm-a")) as connection:
        before = host.executions
        readings = ask_candidates(bundle, connection, given, questions)
        return readings, host.executions - before


def why(readings: Mapping[str, Reading], asked: Question) -> str:
    bundle = bundle_of(*readings.values())
    assert asked_definition_of(bundle, asked.id, Vendor.AMD) is None
    return why_unanswered(bundle, asked.id)


def test_libvirt_and_qemu_say_what_each_definition_gives(host: Sshd) -> None:
    questions = {name: question(cpu) for name, (cpu, _) in GIVES.items()}
    readings, executions = ask(host, *questions.values(), *questions.values())
    assert executions == 2
    bundle = bundle_of(*readings.values())
    asked = {name: asked_definition_of(bundle, each.id, Vendor.AMD) for name, each in questions.items()}
    assert {name: each and each.gives_flag for name, each in asked.items()} == {
        name: gives for name, (_, gives) in GIVES.items()
    }, {source: (each.status, each.text) for source, each in readings.items()}


@pytest.mark.parametrize("machine", ["pc", "pc-q35-7.2", "microvm", None])
def test_a_machine_of_any_kind_is_translated(host: Sshd, machine: str | None) -> None:
    written = xml("ci-1", GIVES["with-svm"][0], machine=machine or "")
    asked = domain_of_xml(written if machine else written.replace(" machine=''", "")).question
    assert isinstance(asked, Question)
    readings, _ = ask(host, asked)
    answer = asked_definition_of(bundle_of(*readings.values()), asked.id, Vendor.AMD)
    assert answer is not None, [(each.status, each.text) for each in readings.values()]
    assert answer.gives_flag is True


def test_nothing_is_defined_or_left_there(host: Sshd) -> None:
    with closing(connect(host.address(), host.client(), name="kvm-a")) as connection:
        state = "virsh -c qemu:///system list --all --name; find /etc/libvirt/qemu /var/lib/libvirt /run/libvirt | sort"
        before = connection.execute(state).stdout
        ask(host, question(GIVES["with-svm"][0]))
        assert connection.execute(state).stdout == before
        assert b"ci-1" not in before
        assert b"nested-kvm" not in before


def test_what_libvirt_refuses_about_the_cpu_is_an_answer(host: Sshd) -> None:
    asked = question("<cpu><model>no-such-model</model></cpu>")
    readings, _ = ask(host, asked)
    answer = asked_definition_of(bundle_of(*readings.values()), asked.id, Vendor.AMD)
    assert answer is not None
    assert answer.gives_flag is None
    assert "no-such-model" in answer.reason


def test_a_machine_that_it_refuses_is_an_answer(host: Sshd) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>", machine="pc-q35-99.9")
    readings, _ = ask(host, asked)
    answer = asked_definition_of(bundle_of(*readings.values()), asked.id, Vendor.AMD, is_cpu_alone=True)
    assert answer is not None
    assert answer.gives_flag is None
    assert "pc-q35-99.9" in answer.reason


def test_an_emulator_that_a_file_names_is_not_run(host: Sshd, tmp_path: Path) -> None:
    trap, mark = tmp_path / "trap", tmp_path / "ran"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\n")
    trap.chmod(0o755)
    tmp_path.chmod(0o755)
    asked = question("<cpu><model>EPYC</model></cpu>", emulator=str(trap))
    readings, _ = ask(host, asked)
    assert not mark.exists()
    assert f"and not {trap}" in why(readings, asked)


def test_the_emulator_that_libvirt_takes_anyway_may_be_named(host: Sshd) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>", emulator=str(host.programs / "qemu-emulated"))
    readings, _ = ask(host, asked)
    assert asked_definition_of(bundle_of(*readings.values()), asked.id, Vendor.AMD) is not None


def test_who_may_not_connect_learns_nothing(host: Sshd) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>")
    host.add_program("virsh", "#!/bin/sh\necho 'error: no CPU is known: authentication failed' >&2\nexit 1\n")
    readings, executions = ask(host, asked)
    assert executions == 1
    assert "does not connect" in why(readings, asked)


def test_without_virsh_it_says_so(start_sshd: SshdFactory) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>")
    bare = start_sshd(prelude="mount --bind /dev/null /usr/bin/virsh")
    assert "not installed" in why(ask(bare, asked)[0], asked)


def test_what_takes_too_long_is_not_waited_for(host: Sshd) -> None:
    host.add_program(
        "virsh",
        "#!/bin/sh\ncase $3 in uri) echo qemu:///system ;; *) exec sleep 600 ;; esac\n",
    )
    questions = [question(f"<cpu><model>EPYC</model><feature name='f{number}'/></cpu>") for number in range(5)]
    readings, executions = ask(host, *questions, probe_timeout=4)
    assert executions == 1
    reasons = [why(readings, each) for each in questions]
    assert "in time" in reasons[0]
    assert "no time left" in reasons[-1]


def test_without_a_usable_qemu_it_says_what_it_printed(host: Sshd) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>")
    host.add_program("virsh", VIRSH.replace("{qemu}", str(host.programs / "broken")))
    host.add_program("broken", "#!/bin/sh\necho 'Could not access KVM kernel module: Permission denied' >&2\nexit 1\n")
    assert "Could not access KVM" in why(ask(host, asked)[0], asked)
    host.add_program("virsh", VIRSH.replace("{qemu}", "/nonexistent/qemu"))
    assert "not installed" in why(ask(host, asked)[0], asked)


def test_of_many_some_are_asked_and_each_other_has_a_reason(host: Sshd) -> None:
    host.add_program("virsh", "#!/bin/sh\ncase $3 in uri) ;; *) cat >/dev/null; echo error: none >&2; exit 1 ;; esac\n")
    questions = [question(f"<cpu><model>EPYC</model><feature name='f{number}'/></cpu>") for number in range(MOST + 3)]
    readings, _ = ask(host, *questions)
    assert len(readings) == MOST + 3
    left = [each for each in questions if readings[translated(each.id)].status is Status.NOT_COLLECTED]
    assert left == questions[MOST:]
    assert f"only {MOST} definitions" in why(readings, left[0])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"libvirt": None}, "there is no libvirt"),
        ({"level": TargetLevel.L1}, "not known to be an L0"),
        ({"level": TargetLevel.AUTO}, "not known to be an L0"),
        ({"uname": "s390x"}, "it is s390x"),
    ],
)
def test_what_cannot_be_asked_is_not_and_says_why(host: Sshd, settings: dict[str, object], reason: str) -> None:
    asked = question("<cpu><model>EPYC</model></cpu>")
    readings, executions = ask(host, asked, **settings)  # type: ignore[arg-type]  # a test's own settings
    assert executions == 0
    assert reason in why(readings, asked)
    assert expanded(asked.id) not in readings


KUBEVIRT = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: runner}
spec: {template: {spec: {domain: {cpu: {model: host-passthrough}}}}}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "guests"
    folder.mkdir()
    for name, (cpu, _) in GIVES.items():
        (folder / f"{name}.xml").write_text(xml(name, cpu))
    (folder / "runner.yaml").write_text(KUBEVIRT)
    return folder


def outcomes(run: SuiteRun) -> dict[str, str]:
    return {each["subject"]: each["outcome"] for each in results(run).values()}


def results(run: SuiteRun) -> dict[str, dict[str, Any]]:
    return {each["subject"]: each for each in run.document["results"] if each["control"] == "DOM-CPU-02"}


def test_the_answer_decides_over_the_rule_in_the_audit_and_in_its_evidence(
    host: Sshd, files: Path, tmp_path: Path
) -> None:
    hosts = ("--hosts=ssh://kvm-a", "--level=L0", f"--ssh-config={ssh_config(tmp_path, {'kvm-a': host})}")
    run = run_suite(*hosts, f"--candidate={files}", "--active", report_dir=tmp_path / "reports")
    given = {name: "pass" if gives else "fail" for name, (_, gives) in GIVES.items()}
    assert outcomes(run) == {**given, "runner": "pass"}, run.text
    assert_valid(run)
    found = results(run)
    for name in GIVES:
        assert any(each["source"].startswith("query-cpu-model-expansion ") for each in found[name]["evidence"])
    assert "EPYC has no svm" in str(found["named"]["evidence"]), "the rule disagrees"
    assert "by the rule" not in str(found["with-svm"]["evidence"]), "the rule agrees"
    assert "in its image, not with the host's" in str(found["runner"]["evidence"])

    again = (f"--evidence={run.reports / 'evidence'}", f"--candidate={files}")
    saved = run_suite(*again, report_dir=tmp_path / "again")
    assert {name: each for name, each in results(saved).items() if name != "runner"} == {
        name: each for name, each in found.items() if name != "runner"
    }
    (files / "named.xml").write_text(xml("named", GIVES["named"][0].replace("EPYC", "EPYC-Rome")))
    other = run_suite(*again, report_dir=tmp_path / "other")
    assert outcomes(other) == {**given, "named": "fail", "runner": "pass"}, "no answer is that of another definition"


def test_without_it_nothing_is_asked(host: Sshd, files: Path, tmp_path: Path) -> None:
    hosts = ("--hosts=ssh://kvm-a", "--level=L0", f"--ssh-config={ssh_config(tmp_path, {'kvm-a': host})}")
    run = run_suite(*hosts, f"--candidate={files}", report_dir=tmp_path / "reports")
    by_rule = {"named": "fail", "with-svm": "pass", "without": "fail", "disabled": "fail", "no-cpu": "fail"}
    assert outcomes(run) == {**by_rule, "runner": "pass"}, run.text
    assert "query-cpu-model-expansion" not in str(results(run))
    assert not [each for each in run.evidence("kvm-a")["readings"] if "domxml-to-native" in each["source"]]


def test_a_question_that_fails_lets_the_rule_decide_and_says_so(host: Sshd, files: Path, tmp_path: Path) -> None:
    host.add_program("virsh", "#!/bin/sh\necho 'error: authentication failed' >&2\nexit 1\n")
    hosts = ("--hosts=ssh://kvm-a", "--level=L0", f"--ssh-config={ssh_config(tmp_path, {'kvm-a': host})}")
    run = run_suite(*hosts, f"--candidate={files}", "--active", report_dir=tmp_path / "reports")
    assert outcomes(run)["named"] == "fail"
    found = results(run)["with-svm"]
    assert found["outcome"] == "pass"
    assert "authentication failed" in str(found["evidence"])
    assert "--active: no answer: virsh does not connect: error: authentication failed: kvm-a / " in run.text


def test_the_command_asks_as_the_audit_does(
    host: Sshd, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ssh_config(tmp_path, {"kvm-a": host})
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("hosts: {kvm-a: {address: 'ssh://kvm-a'}}\n")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(config.read_text())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["candidate", f"--inventory={inventory}", "--active", str(files)]
    done = subprocess.run([sys.executable, "-m", "nested_kvm", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    document = json.loads((tmp_path / "reports/latest/results.json").read_text())
    found = {each["subject"]: each["outcome"] for each in document["results"] if each["control"] == "DOM-CPU-02"}
    assert found == {**{name: "pass" if gives else "fail" for name, (_, gives) in GIVES.items()}, "runner": "pass"}
