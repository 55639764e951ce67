"""Hostile and broken archives: one clear error each, nothing written outside, little memory, bounded work."""

import bz2
import gzip
import lzma
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence.archive.archives import bundles_of_archive
from nested_kvm.evidence.bundle_file import read_bundle, write_bundle
from nested_kvm.evidence.saved import read_saved
from tests.integration.archives.hostile import HOSTILE, MACHINE, PLAIN, TOP, members
from tests.support.evaluation import readings_of
from tests.support.sosreports import sos_files, tar_of, unpack
from tests.support.suite import run_suite

ROOT = Path(__file__).parents[3]
MEMORY = 300 * 1024
"""KiB."""
READ = """
import resource, sys
from pathlib import Path
from nested_kvm.evidence.saved import read_saved
for bundle in read_saved(Path(sys.argv[1])):
    print(bundle.failure.message if bundle.failure else "read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.heavy]) if name == "many-members" else name
        for name in HOSTILE
    ],
)
def test_a_hostile_archive_is_one_clear_error_in_little_memory(name: str, tmp_path: Path) -> None:
    hostile = HOSTILE[name]
    path = tmp_path / "inside" / f"{name}{hostile.suffix}"
    path.parent.mkdir()
    path.write_bytes(hostile.make())
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        timeout=300, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024**2, 1024**2)),
    )  # fmt: skip
    message, memory = done.stdout.strip().split("\n")
    assert message.startswith(path.name)
    assert hostile.says in message
    assert message.isprintable()
    assert int(memory) < MEMORY
    assert sorted(each.name for each in tmp_path.rglob("*")) == sorted(["inside", path.name, "temporary"])


@pytest.mark.parametrize("path", ["sos_commands/kernel/dmesg", "sos_commands/process/ps_auxwww", "proc/cpuinfo"])
def test_millions_of_short_lines_take_little_memory(path: str, tmp_path: Path) -> None:
    line, head = "kvm ab ab ab ab ab ab ab ab ab ab ab\n", "USER PID\n"
    text = head + line * ((8 * 1024**2 - 100) // len(line)) if "ps" in path else "ab\n" * ((8 * 1024**2 - 100) // 3)
    packed = tmp_path / "report.tar"
    packed.write_bytes(tar_of({**sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), f"{TOP}/{path}": text}))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(packed)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    message, memory = done.stdout.strip().split("\n")
    assert message == "read"
    assert int(memory) < MEMORY


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 20


def test_an_unusable_archive_is_an_error_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "report.tar.xz"
    path.write_bytes(HOSTILE["cut-xz"].make())
    done = run_suite(f"--evidence={path}", report_dir=tmp_path / "reports")
    results = done.document["results"]
    assert done.status == 6, done.output
    assert {each["outcome"] for each in results} <= {"error", "notchecked", "notapplicable"}
    assert any("cut while it was copied" in each["message"] for each in results)


@pytest.mark.parametrize("target", ["../../../../../../etc/shadow", "/etc/shadow", "a.conf"])
def test_a_link_out_of_an_archive_is_never_followed(target: str, tmp_path: Path) -> None:
    """Outside of it, in a circle, or absolute, which means the archive's own folder: never this machine's file."""
    files = {**sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), f"{TOP}/etc/modprobe.d/a.conf": Path(target)}
    packed = tmp_path / "report.tar"
    packed.write_bytes(tar_of(files))
    for path in (packed, unpack(files, tmp_path / "folder")):
        (bundle,) = bundles_of_archive(path)
        reading = bundle.readings["/etc/modprobe.d/a.conf"]
        assert not reading.is_ok
        assert "root:" not in reading.text
        assert bundle.readings["modprobe --show-depends kvm_amd"].status == "not-collected"


def test_a_fifo_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    folder = unpack(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), tmp_path)
    os.mkfifo(folder / "etc/modprobe.d/z.conf")
    with pytest.raises(ArchiveUnusable, match=r"z\.conf is a device or a FIFO"):
        list(bundles_of_archive(folder))


def test_a_folder_that_may_not_be_searched_is_an_error(tmp_path: Path) -> None:
    folder = unpack(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), tmp_path)
    (folder / "etc/modprobe.d").chmod(0)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", READ, str(folder)]
    for each in (tmp_path, *tmp_path.parents[:-1]):
        each.chmod(each.stat().st_mode | 0o055) if each.owner() == "root" and each != Path("/tmp") else None  # noqa: S108
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert "cannot be read: Permission denied" in done.stdout, done.stderr


def test_a_folder_of_archives_leaves_none_out(tmp_path: Path) -> None:
    """Encrypted ones, links, and unpacked ones are all read, or are an error each."""
    (tmp_path / "good").mkdir()
    unpacked = unpack(sos_files("kvm-1", readings_of(MACHINE)[MACHINE]), tmp_path / "elsewhere")
    (tmp_path / "good" / "linked").symlink_to(unpacked)
    (tmp_path / "good" / "packed.tar").write_bytes(tar_of(sos_files("kvm-2", readings_of(MACHINE)[MACHINE])))
    (tmp_path / "good" / "sosreport-kvm-3.tar.xz.gpg").write_bytes(HOSTILE["encrypted"].make())
    (tmp_path / "good" / "sosreport-kvm-3.tar.xz.sha256").write_text("0123")
    bundles = {each.target.name: each for each in read_saved(tmp_path / "good")}
    assert bundles.keys() == {"kvm-1", "kvm-2", "sosreport-kvm-3.tar.xz.gpg"}
    failures = [each.failure.message for each in bundles.values() if each.failure is not None]
    assert failures == ["sosreport-kvm-3.tar.xz.gpg: it is encrypted with PGP: decrypt it first"]


def test_names_that_are_not_utf_8_are_read_and_shown_printable(tmp_path: Path) -> None:
    name = b"\xff\xfe.conf".decode("utf-8", "surrogateescape")
    member = tarfile.TarInfo(f"{TOP}/etc/modprobe.d/{name}")
    path = tmp_path / "report.tar"
    path.write_bytes(members(member))
    (bundle,) = bundles_of_archive(path)
    assert "\N{REPLACEMENT CHARACTER}" in bundle.readings["/etc/modprobe.d"].text
    assert "is not UTF-8" in bundle.readings["modprobe --show-depends kvm_amd"].text
    assert read_bundle(write_bundle(tmp_path, bundle)).readings == bundle.readings


def test_a_good_archive_in_many_wrappings_gives_the_same_readings(tmp_path: Path) -> None:
    made = {
        "a.tar": PLAIN,
        "b.tar.gz": gzip.compress(PLAIN),
        "c.tar.bz2": bz2.compress(PLAIN),
        "d.tar.xz": lzma.compress(PLAIN),
        "wrong-suffix.tar.gz": lzma.compress(PLAIN),
        "two-streams.tar.gz": gzip.compress(PLAIN[:2048]) + gzip.compress(PLAIN[2048:]),
    }
    found = []
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
        (bundle,) = bundles_of_archive(tmp_path / name)
        found.append(dict(bundle.readings))
    (bundle,) = bundles_of_archive(unpack(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), tmp_path / "folder"))
    assert all(each == found[0] for each in [*found, dict(bundle.readings)])
