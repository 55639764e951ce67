"""The probe says the same under every shell, and does nothing else."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from nested_kvm.evidence.probe import readable_probe
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import NAMESPACES
from nested_kvm.facts.kernel.containment import containment_of
from nested_kvm.model.answer import Answer
from tests.integration.probe.probing import NOBODY, Probing, each_shell, stub
from tests.support.bundles import bundle_of
from tests.support.needs import program

_CHANGING = ("dmesg", "/sys/module/", "id", "ls -l /proc/self/ns", "/proc/[0-9]*/")
_KMOD = ("modprobe ", "modinfo ")


def comparable(readings: dict[str, Reading], *, with_kmod: bool) -> dict[str, tuple[Status, str]]:
    """Leave out what another moment or busybox's own applets may answer otherwise."""
    return {
        source: (reading.status, "" if source.startswith(_CHANGING) else " ".join(reading.text.split()))
        for source, reading in readings.items()
        if with_kmod or not source.startswith(_KMOD)
    }


SHOWS_IT = {"/proc/self/mounts": None}
"""What differs where the machine is read-only."""


@each_shell
def test_every_shell_gives_the_same_readings(shell: str) -> None:
    reference, probed = Probing("sh").run(), Probing(shell).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    with_kmod = shell != "busybox"
    assert comparable(probed.answer.readings, with_kmod=with_kmod) == comparable(
        reference.answer.readings, with_kmod=with_kmod
    )
    assert list(probed.answer.readings) == list(reference.answer.readings)


@each_shell
def test_what_every_machine_has_is_read(shell: str) -> None:
    readings = Probing(shell).run().answer.readings
    for source in ("uname -m", "id", "/proc/sys/kernel/osrelease", "/proc/cmdline", "/proc/cpuinfo", "/sys/module"):
        assert readings[source].is_ok, readings[source]
    assert readings["uname -m"].text == os.uname().machine
    assert readings["id"].text.startswith(f"uid={os.geteuid()}")
    assert readings["/proc/cpuinfo"].text.count("processor") == os.cpu_count()


@each_shell
@pytest.mark.needs("accounts", "setpriv")
def test_a_plain_user_gets_an_answer_too(shell: str) -> None:
    probed = Probing(shell, within=NOBODY).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    assert probed.answer.readings["id"].text.startswith("uid=65534")


@each_shell
def test_the_probe_writes_nothing(shell: str, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "cwd")}
    for place in places.values():
        place.mkdir()
    environment = {"HOME": str(places["HOME"]), "TMPDIR": str(places["TMPDIR"])}
    Probing(shell, ("2", "always", "test:///default"), environment=environment, cwd=places["cwd"]).run()
    # virsh, when it is there, keeps a directory of its own in a HOME; a shell's or the probe's files would stand out.
    assert [path for place in places.values() for path in place.rglob("*") if path.is_file()] == []


@each_shell
@pytest.mark.needs("accounts")
def test_the_probe_needs_nothing_that_can_be_written(shell: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    read_only = 'mount --rbind / "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    within = ("unshare", "--mount", "/bin/sh", "-c", read_only, "sh", str(root), "chroot", str(root))
    check = subprocess.run([*within, "touch", "/probe-was-here"], capture_output=True, text=True, check=False)
    assert "Read-only file system" in check.stderr
    probed, reference = Probing(shell, within=within).run(), Probing(shell).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    assert {**comparable(probed.answer.readings, with_kmod=True), **SHOWS_IT} == {
        **comparable(reference.answer.readings, with_kmod=True),
        **SHOWS_IT,
    }


@pytest.mark.needs("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    command = [program("shellcheck") or "", "-"]
    done = subprocess.run(command, input=readable_probe(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_template_begins_in_it() -> None:
    """Ansible's raw fills in templates."""
    assert [mark for mark in ("{{", "{%", "{#") if mark in readable_probe()] == []


def test_quotes_come_in_pairs_also_in_comments() -> None:
    """Ansible's raw splits the script into words, comments and all, and refuses what does not split."""
    assert "vm_holders" in shlex.split(readable_probe())
    with pytest.raises(ValueError, match="quotation"):
        shlex.split(f"# it's one\n{readable_probe()}")


@each_shell
def test_a_program_is_found_by_each_shell_that_it_starts_too(shell: str, tmp_path: Path) -> None:
    """A PATH that is not in the environment, but the shell's own, is handed on."""
    stub(tmp_path / "bin", "systemctl", "echo from the stub")
    own = f"unset PATH\nPATH={tmp_path}/bin:/usr/bin:/bin\n{readable_probe()}"
    readings = Probing(shell, script=own).run().answer.readings
    assert readings["systemctl is-enabled libvirt-guests"].text.strip() == "from the stub"


@each_shell
@pytest.mark.needs("accounts")
def test_a_container_is_seen_in_every_shell(shell: str) -> None:
    """A namespace of processes is what any container has; here no address says so."""
    own = ("unshare", "--pid", "--fork", "--mount-proc")
    answers = [
        containment_of(bundle_of(Probing(shell, within=within).run().answer.readings[NAMESPACES]))
        for within in ((), own)
    ]
    assert [each.is_container for each in answers] == [Answer.NO, Answer.YES]
