"""What is secret in a machine's readings is masked before it is kept, and nothing that is judged changes by it."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.evidence.masking import masked_cmdline
from nested_kvm.evidence.observe import bundle_of_answer
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import ProbeAnswer, parse_answer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import RULES, Rule, without_secrets
from nested_kvm.evidence.sources import GRUB
from nested_kvm.facts.kernel.cmdline import refused_modules
from nested_kvm.facts.kernel.parameter import ParameterType, read_parameter
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.config_cmdline import parse_cmdline
from nested_kvm.facts.modprobe.config_line import Directive
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.shell_word import shell_word

SECRET = "hunter2"  # noqa: S105 - looked for where it must not be
CMDLINE = (
    f"BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet rd.iscsi.password={SECRET} ds=nocloud-net;s=http://u:{SECRET}@h/ "
    f'systemd.set_credential=a:{SECRET} systemd.setenv="TOKEN={SECRET} {SECRET}" inst.vncpassword={SECRET} '
    f"kvm-amd.nested=0 module_blacklist=kvm -- --token {SECRET}"
)
READINGS = {
    "/proc/cmdline": CMDLINE,
    "/etc/kernel/cmdline": CMDLINE,
    "/etc/default/grub": f"GRUB_CMDLINE_LINUX=\"{CMDLINE}\"\nexport GRUB_CMDLINE_LINUX_DEFAULT+='quiet key={SECRET}'",
    "/etc/default/grub.d/50-cloud.cfg": f'GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0 x={SECRET}"',
    "/boot/loader/entries/debian.conf": f"options {CMDLINE}",
    "/boot/grub2/grubenv": f"kernelopts={CMDLINE}",
    "dmesg": f'[    0.0] Kernel command line: {CMDLINE}\n[    0.1] Unknown kernel command line parameters "x={SECRET}"',
    "/etc/modprobe.d/site.conf": (
        f"options wlan wpa_psk={SECRET}\ninstall x /sbin/x --password={SECRET} --api-key={SECRET}\n"
        f"install y /sbin/y https://user:{SECRET}@example.net/\n"
        f"options wl key={SECRET} pass={SECRET} pwd={SECRET} wep_key1={SECRET}\n"
        f'options wl passwd=\'a {SECRET}\' psk="a {SECRET}" passphrase="a\\" {SECRET}"\n'
        f"install z /usr/bin/curl -u user:{SECRET} --user=u:{SECRET} -uu:{SECRET} https://example.net/\n"
        f"install z /usr/bin/curl -H 'Authorization: Bearer {SECRET}' --pass {SECRET} -key {SECRET}"
    ),
    "dmesg of a service": f"[    9.1] agent: started with --token {SECRET}, password {SECRET} and token: {SECRET}",
    "modprobe --show-depends kvm_amd": f"install /sbin/x --secret={SECRET}",
}


def reading(source: str, text: str) -> Reading:
    return Reading(source, Status.OK, text)


@pytest.mark.parametrize("source", READINGS)
def test_no_secret_is_kept(source: str) -> None:
    cleaned = without_secrets({source: reading(source, READINGS[source])})[source]
    assert SECRET in READINGS[source]
    assert SECRET not in cleaned.text
    assert cleaned == replace(reading(source, cleaned.text), status=Status.OK)
    assert len(cleaned.text) == len(READINGS[source])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_does_what_its_example_shows(rule: Rule) -> None:
    assert rule.may_change(rule.example, rule.example.lower())
    assert rule.redact(rule.example) == rule.redacted
    assert rule.redact(rule.redacted) == rule.redacted


@pytest.mark.parametrize(
    "line",
    [
        "options kvm_amd token= nested=0",
        "options kvm_amd key = nested=0 npt=1",
        "options kvm_amd password nested=0",
        "options kvm_amd token='x nested=0'",
        "options kvm_intel pass: nested=0",
        "softdep x pre: token kvm_amd",
        "options kvm bypass=1 monkey=2",
    ],
)
def test_a_word_of_kvm_after_a_secrets_name_stays(line: str) -> None:
    kept = without_secrets({"/etc/modprobe.d/x.conf": reading("/etc/modprobe.d/x.conf", line)})
    last = line.rsplit(maxsplit=1)[-1]
    word = "nested=0" if "nested=0" in line else last
    assert word in kept["/etc/modprobe.d/x.conf"].text


def test_a_guests_name_is_no_secret() -> None:
    processes = {"/proc/[0-9]*/cmdline": reading("/proc/[0-9]*/cmdline", "100 name=guest=token:1,secret=on")}
    assert without_secrets(processes) == processes


def test_every_bundle_goes_through_it() -> None:
    target = Target("a", TargetLevel.L0, Address.parse("a"), Policy())
    answer = ProbeAnswer({source: reading(source, text) for source, text in READINGS.items()})
    bundle = bundle_of_answer(target, answer, datetime.now(UTC), pytest.fail)
    assert [source for source, each in bundle.readings.items() if SECRET in each.text] == []


def test_what_is_judged_stays_as_it_was() -> None:
    kept = masked_cmdline(CMDLINE)
    assert "kvm-amd.nested=0 module_blacklist=kvm -- " in kept
    assert "root=********* ro quiet rd.iscsi.password=*******" in kept


JUDGED = ["kvm-amd.nested=0", "kvm_intel.nested=Y", "kvm.x=1", '"kvm_amd.nested=1"', "module_blacklist=kvm,kvm_amd"]
OTHERS = ["--", 'modprobe.blacklist="a', "quiet", "root=/dev/x", 'a="b c', 'd"', "a.b=c", "x=kvm_amd.nested=0", "ä=ö"]
WORDS = st.sampled_from([*JUDGED, *OTHERS])


def of_kmod(cmdline: str) -> list[tuple[Directive | None, str, str]]:
    """Return what kmod takes from the command line for the modules that are judged."""
    lines = [each for each in parse_cmdline(cmdline) if each.subject in {"kvm", "kvm_amd", "kvm_intel"}]
    return [(each.directive, each.subject, each.argument) for each in lines]


@given(st.lists(WORDS, max_size=12), st.sampled_from([" ", "\t", "  "]))
def test_no_verdict_changes_by_the_mask(words: list[str], blank: str) -> None:
    """As the kernel reads the command line, and as kmod does."""
    plain = blank.join(words)
    masked = masked_cmdline(plain)
    release = KernelRelease.parse("6.1.0")
    for module in ("kvm_amd", "kvm_intel"):
        both = [read_parameter(text, f"{module}.nested", ParameterType.INT, release) for text in (plain, masked)]
        assert [each.setting for each in both[0].assignments] == [each.setting for each in both[1].assignments]
    assert refused_modules(plain) == refused_modules(masked)
    assert of_kmod(plain) == of_kmod(masked)


IN_GRUB = st.sampled_from(
    [
        *JUDGED,
        *OTHERS,
        "#",
        "#x=y",
        ";",
        "x=y;",
        "&&",
        "x",
        r"x=\"y",
        r"\"",
        "'",
        "'a",
        '"',
        "a=b'c",
        "x=\\",
        "B=1",
        "a=b\r",
    ]
)


@given(st.lists(IN_GRUB, max_size=12), st.sampled_from(["", '"', "'"]))
def test_no_verdict_on_grub_changes_by_the_mask(words: list[str], quote: str) -> None:
    """As grub's scripts read their configuration: by a shell."""
    start = "GRUB_CMDLINE_LINUX="
    plain = f"{start}{quote}{' '.join(words)}"
    masked = without_secrets({GRUB: reading(GRUB, plain)})[GRUB].text
    release = KernelRelease.parse("6.1.0")
    given = [shell_word(text.removeprefix(start)) for text in (plain, masked)]
    assert (given[0] is None) == (given[1] is None)
    for module in ("kvm_amd", "kvm_intel"):
        both = [read_parameter(text or "", f"{module}.nested", ParameterType.INT, release) for text in given]
        assert [each.setting for each in both[0].assignments] == [each.setting for each in both[1].assignments]


PIECES = st.sampled_from(
    [
        *("token", "password", "key", "pass", "--token", "-u", "a:b", "://", "@", "=", ":", " ", "\t", "\n", '"', "'"),
        *("\\", ",", ";", "x", "é", "nested=0", "kvm_amd", "options", "Authorization: Basic", "#", "-"),
    ]
)


@given(st.lists(PIECES, max_size=14))
def test_what_was_masked_once_is_not_changed_again(pieces: list[str]) -> None:
    for source in ("/etc/modprobe.d/x.conf", "dmesg", "/proc/cmdline", GRUB):
        once = without_secrets({source: reading(source, "".join(pieces))})
        assert without_secrets(once) == once


@pytest.mark.slow
def test_a_hostile_text_takes_no_longer_than_its_length() -> None:
    """A quadratic search of these would take hours."""
    size = 100_000
    for text in (
        "a" * size,
        "password" * size,
        'x.password="' * size,
        "command line " * size,
        "a://b:" * size,
        "--token " * size,
        "-" * size,
        "key='" * size,
    ):
        for source in ("dmesg", "/proc/cmdline", "/etc/default/grub", "id -u"):
            assert len(without_secrets({source: reading(source, text)})[source].text) == len(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-object", f"secret,id=s,data={SECRET}"],
        ["-vnc", f":0,password={SECRET}"],
        ["-spice", f"port=1,password={SECRET}"],
        ["-smbios", f"type=1,serial=ds=nocloud;s=http://{SECRET}"],
        ["-fw_cfg", f"name=opt/com.coreos/config,string={SECRET}"],
        ["-append", f"console=ttyS0\n-cpu\n{SECRET}"],
        ["-drive", f"file=rbd:pool/image:key={SECRET}"],
    ],
    ids=lambda words: words[0],
)
def test_of_a_qemus_arguments_no_secret_leaves_the_machine(tmp_path: Path, arguments: list[str]) -> None:
    """A process that calls itself QEMU, seen by the probe itself."""
    program = tmp_path / "sleep.py"
    program.write_text("import time\ntime.sleep(100)\n")
    start = ["bash", "-c", 'exec -a qemu-system-x86_64 "$0" "$@"', str(Path(sys.executable).resolve()), str(program)]
    with subprocess.Popen([*start, "-name", "guest=ci-1", *arguments, "-cpu", "host"]) as process:
        try:
            while b"qemu" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                time.sleep(0.01)
            asked = ["sh", "-s", "--", "a-nonce-of-this-test", "5"]
            answer = subprocess.run(asked, input=probe_script().encode(), capture_output=True, check=True).stdout
        finally:
            process.kill()
    assert SECRET.encode() not in answer
    text = parse_answer(answer, "a-nonce-of-this-test").readings["/proc/[0-9]*/cmdline"].text
    assert f"{process.pid} name=guest=ci-1" in text
    assert f"{process.pid} cpu=host" in text
