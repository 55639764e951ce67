"""What the probe costs a machine is bounded by counting, as no clock is the same twice."""

import gzip
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.connection.shell_command import standard_input
from nested_kvm.evidence.probe import probe_script, readable_probe, short_names
from tests.integration.probe.probing import Probing, each_shell, stub
from tests.integration.probe.test_shells import comparable
from tests.support.needs import SYSTEM_PATH

FILES = 10
STARTS = 21
FORKS = 29
"""Both of dash, on a machine with every program below, ten files in modprobe.d, and none in the places below."""
READS = 3000
"""Reads of dash itself, which takes a file's bytes one by one: those of parameters."""
BYTES = 14_480
"""TCP sends 10 segments of 1,448 bytes at once; SSH and the arguments take their part."""
STUBS = {
    "modprobe": "for each in kvm kvm-amd kvm-intel; do echo insmod /lib/modules/6/$each.ko; done",
    "modinfo": "echo modinfo",
    "systemctl": "echo enabled",
    "dmesg": "echo kvm: one line",
    "getfacl": "echo user::rw-",
}
PROGRAMS = ("awk", "cat", "grep", "gzip", "id", "ls", "readlink", "sed", "tail", "timeout", "tr", "true", "uname", "wc")
EMPTY = ("/boot", "/etc/default", "/etc/libvirt", "/lib/modprobe.d", "/usr/lib/libvirt", "/var/cache")
ALONE = ("unshare", "--pid", "--fork", "--mount-proc")
"""So that no other process is looked at, and so that process numbers count forks."""
LAST_PID = (*ALONE, "sh", "-c", '"$@"; sh -c "echo \\$\\$ >&2"', "sh")


def mounts(tmp_path: Path, files: int) -> dict[Path, str]:
    """Return what makes a machine the same everywhere."""
    made = {modprobe_d(tmp_path, files): "/etc/modprobe.d"}
    for place in filter(os.path.isdir, EMPTY):
        empty = tmp_path / f"{files}-files-elsewhere" / place.replace("/", "-")
        empty.mkdir(parents=True)
        made[empty] = place
    return made


def modprobe_d(tmp_path: Path, files: int) -> Path:
    folder = tmp_path / f"{files}-files"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number}.conf").write_text(f"# why\noptions kvm_amd nested={number}\n")
    return folder


@pytest.fixture
def starts_of(tmp_path: Path) -> "Starts":
    return Starts(tmp_path)


class Starts:
    """Programs that note their start, and are the machine's own."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self._log = tmp_path / "started"
        note = f"echo x >>{shlex.quote(str(self._log))}"
        for name, body in STUBS.items():
            stub(tmp_path / "bin", name, f"{note}\n{body}")
        for name in PROGRAMS:
            stub(tmp_path / "bin", name, f'{note}\nexec {shutil.which(name, path=SYSTEM_PATH)} "$@"')

    def __call__(self, files: int, more: Mapping[Path, str] | None = None) -> int:
        self._log.write_text("")
        first_on_path = self._tmp_path / "bin"
        places = {**mounts(self._tmp_path, files), **(more or {})}
        probed = Probing("dash", mounts=places, first_on_path=first_on_path, within=ALONE).run()
        assert (probed.answer.cut, probed.stderr) == (None, "")
        assert f"/etc/modprobe.d/{files - 1}.conf" in probed.answer.readings
        return len(self._log.read_text().splitlines())


@pytest.mark.needs("accounts", "dash")
def test_it_starts_few_programs_and_none_for_each_small_file(starts_of: Starts) -> None:
    few, many = starts_of(1), starts_of(FILES)
    assert few == many
    assert 0 < many <= STARTS


@pytest.mark.needs("accounts", "dash")
def test_a_changelog_takes_what_unpacks_it_and_what_reads_it(starts_of: Starts, tmp_path: Path) -> None:
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    folder = tmp_path / "doc" / f"linux-image-{release}"
    folder.mkdir(parents=True)
    (folder / "changelog.gz").write_bytes(gzip.compress(b"linux (6.1.192-2) bookworm; urgency=high\n"))
    without = starts_of(1)
    (tmp_path / "1-files").rename(tmp_path / "before")
    (tmp_path / "1-files-elsewhere").rename(tmp_path / "elsewhere-before")
    with_it = starts_of(1, {tmp_path / "doc": "/usr/share/doc"})
    assert without < with_it <= without + 3, "timeout(1) and gzip, and awk that reads it"


@pytest.mark.needs("accounts", "dash")
def test_it_forks_little(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    for name, body in STUBS.items():
        stub(programs, name, body)
    probed = Probing("dash", mounts=mounts(tmp_path, FILES), first_on_path=programs, within=LAST_PID).run()
    assert probed.answer.cut is None
    itself_and_the_last = 3
    assert STARTS / 2 < int(probed.stderr) - itself_and_the_last <= FORKS


@pytest.mark.needs("dash")
def test_the_shell_reads_little(tmp_path: Path) -> None:
    counting = f"{probe_script()}\ncat /proc/$$/io >&2"
    probed = Probing("dash", mounts=mounts(tmp_path, FILES), within=ALONE, script=counting).run()
    assert 0 < reads_in(probed.stderr) <= READS


@each_shell
def test_a_shell_reads_what_is_sent_in_blocks(shell: str) -> None:
    script = f"{probe_script()}\n".replace('main "$@"', ":") + "cat /proc/$$/io >&2"
    command = ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"]
    sent = standard_input(script, ["it's"], sudo=False)
    done = subprocess.run(command, input=sent, capture_output=True, check=True)
    assert 0 < reads_in(done.stderr.decode()) < len(sent) / 50, "bash reads from a pipe byte by byte"


def reads_in(io: str) -> int:
    """Return how often a process read: proc(5), `/proc/PID/io`."""
    return int(io.partition("syscr: ")[2].split()[0])


def test_what_is_sent_fits_into_the_first_window() -> None:
    assert len(probe_script().encode()) <= BYTES < len(readable_probe().encode())


@pytest.mark.needs("bash")
def test_a_shell_understands_what_is_sent_as_it_does_what_people_read() -> None:
    sent, readable = understood(probe_script()), understood(short_names(readable_probe()))
    assert sent.replace("exec 3> /dev/null;\n    ", "", 1).replace("2>&3", "2> /dev/null") == readable
    assert "anon_inode:kvm-vm" in sent
    assert "\n#" not in probe_script()


def understood(script: str) -> str:
    """Return a script as bash prints it again, word for word, after it took it apart."""
    command = ["bash", "-c", f"probe() {{\n{script}\n}}\ndeclare -f probe"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@each_shell
@pytest.mark.needs("accounts")
def test_what_is_sent_answers_as_what_people_read(shell: str, tmp_path: Path) -> None:
    folder = modprobe_d(tmp_path, FILES)
    arguments = ("5", "always", "test:///default")
    sent, readable = (
        Probing(shell, arguments, mounts={folder: "/etc/modprobe.d"}, script=script).run()
        for script in (probe_script(), readable_probe())
    )
    assert list(sent.answer.readings) == list(readable.answer.readings)
    volatile = {source for source in sent.answer.readings if "dominfo" in source}
    told, expected = (
        {
            source: text
            for source, text in comparable(each.answer.readings, with_kmod=True).items()
            if source not in volatile
        }
        for each in (sent, readable)
    )
    assert told == expected
