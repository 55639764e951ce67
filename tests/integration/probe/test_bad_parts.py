"""A part that hangs, is missing or is not what it seems costs itself only, and nothing stays behind."""

import subprocess
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Status
from tests.integration.probe.probing import Probed, Probing, each_shell, kmods_shells, stub

VIRSH = "virsh -r -c test:///default list --all --uuid"
UUID = "9f5737ad-04b0-41f7-882c-99c327b51994"
WITH_VIRSH = ("1", "always", "test:///default")


def only_timed_out(probed: Probed) -> list[str]:
    assert probed.answer.cut is None
    return [source for source, reading in probed.answer.readings.items() if reading.status is Status.TIMED_OUT]


@each_shell
def test_a_virsh_that_hangs_costs_its_section_only(shell: str, tmp_path: Path) -> None:
    bin_folder = stub(tmp_path / "bin", "virsh", "echo begun; exec sleep 60")
    probed = Probing(shell, WITH_VIRSH, first_on_path=bin_folder).run()
    assert only_timed_out(probed) == [VIRSH]
    assert probed.answer.readings[VIRSH].text.startswith("begun")
    assert probed.seconds < 20


@kmods_shells
def test_a_modprobe_that_hangs_costs_its_sections_only(shell: str, tmp_path: Path) -> None:
    bin_folder = stub(tmp_path / "bin", "modprobe", "exec sleep 60")
    probed = Probing(shell, ("1", "never"), first_on_path=bin_folder).run()
    hung = only_timed_out(probed)
    assert hung
    assert all(source.startswith("modprobe ") for source in hung)
    assert "dmesg" in probed.answer.readings


@kmods_shells
@pytest.mark.parametrize("body", ["exit 125", "exit 1"])
def test_a_timeout_that_does_not_work_is_replaced(shell: str, body: str, tmp_path: Path) -> None:
    bin_folder = stub(tmp_path / "bin", "timeout", body)
    stub(bin_folder, "virsh", "echo begun; exec sleep 60")
    probed = Probing(shell, WITH_VIRSH, first_on_path=bin_folder).run()
    assert only_timed_out(probed) == [VIRSH]
    assert probed.answer.readings["uname -m"].is_ok
    assert probed.seconds < 20


@kmods_shells
def test_a_timeout_that_is_one_of_many_programs_is_not_relied_upon(shell: str, tmp_path: Path) -> None:
    bin_folder = stub(tmp_path / "bin", "modprobe", "exec sleep 61")
    many = stub(tmp_path / "many", "coreutils", '# ends nothing\nwhile [ "$1" != 1 ]; do shift; done\nshift\nexec "$@"')
    (bin_folder / "timeout").symlink_to(many / "coreutils")
    probed = Probing(shell, ("1", "never"), first_on_path=bin_folder).run()
    hung = only_timed_out(probed)
    assert hung
    assert all(source.startswith("modprobe ") for source in hung)
    assert probed.answer.readings["uname -m"].is_ok


@kmods_shells
@pytest.mark.needs("accounts")
def test_without_timeout_the_readings_are_the_same(shell: str) -> None:
    with_it, without = Probing(shell).run(), Probing(shell, hidden=["timeout"]).run()
    assert (without.answer.cut, without.stderr) == (None, "")
    statuses = {source: reading.status for source, reading in with_it.answer.readings.items()}
    assert {source: reading.status for source, reading in without.answer.readings.items()} == statuses
    assert without.seconds < with_it.seconds + 3, "a watchdog outlived what it watched"


@pytest.mark.parametrize(
    ("shell", "hidden"), [("dash", {"virsh", "modprobe", "modinfo", "dmesg"}), ("busybox", {"virsh"})]
)
@pytest.mark.needs("accounts", "dash", "busybox")
def test_a_program_that_is_not_there_is_missing(shell: str, hidden: set[str]) -> None:
    readings = Probing(shell, WITH_VIRSH, hidden=sorted(hidden)).run().answer.readings
    missing = {source.split()[0] for source, reading in readings.items() if reading.status is Status.MISSING}
    assert missing - {"getfacl"} == hidden, "getfacl is on few machines"


@pytest.mark.needs("virsh")
def test_libvirts_domains_are_told_by_virsh() -> None:
    readings = Probing("sh", ("5", "always", "test:///default")).run().answer.readings
    uuids = readings[VIRSH].text.split()
    assert uuids
    for uuid in uuids:
        for question in ("dominfo", "dumpxml --inactive", "dumpxml"):
            assert readings[f"virsh -r -c test:///default {question} {uuid}"].is_ok


@each_shell
def test_a_uuid_that_is_none_is_not_asked_about(shell: str, tmp_path: Path) -> None:
    stub(tmp_path / "bin", "virsh", f"echo '-h' ; echo '$(touch here)'; echo '*'; echo bad; echo {UUID}")
    readings = Probing(shell, WITH_VIRSH, first_on_path=tmp_path / "bin", cwd=tmp_path).run().answer.readings
    snapshots = [source for source in readings if "--snapshotname=" in source]
    assert snapshots
    assert all(f"snapshot-dumpxml {UUID} --snapshotname=" in source for source in snapshots)
    of_all = ("--uuid", "domstats", "--snapshotname=", "--daemon", "capabilities")
    virsh = [source for source in readings if source.startswith("virsh")]
    assert {source.split()[-1] for source in virsh if not any(word in source for word in of_all)} == {UUID}
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@each_shell
@pytest.mark.parametrize("timeout", ["exit 1", None])
def test_no_process_stays_behind(shell: str, timeout: str | None, tmp_path: Path) -> None:
    bin_folder = stub(tmp_path / "bin", "virsh", "exec sleep 61")
    stub(bin_folder, "systemctl", "exec sleep 61")
    if timeout is not None:
        stub(bin_folder, "timeout", timeout)
    command = Probing(shell, WITH_VIRSH).command()
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin"}
    probe = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    assert probe.wait(timeout=300) == 0
    assert [line for line in processes() if line.split()[0] == str(probe.pid)] == []


def processes() -> list[str]:
    """Session and name of every process; a zombie has ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, _parent, _group, session = rest.split()[:4]
        if state != "Z":
            found.append(f"{session} {name}")
    return found
