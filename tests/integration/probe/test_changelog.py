"""The changelog of the running kernel's package, read whole or cut, of any size, by each shell's own tools."""

import gzip
from pathlib import Path

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading
from tests.integration.probe.probing import Probed, Probing, each_shell

RELEASE = Path("/proc/sys/kernel/osrelease").read_text().strip()
HEADING = "linux (6.1.192-2) bookworm-security; urgency=high"
FIX = "    - [x86] KVM: x86: Fix shadow paging use-after-free (CVE-2026-53359)"
STATUS = """Package: bash
Status: install ok installed
Version: 5.2
Description: names linux-image-6.1.0-1 and KVM, CVE-2026-53359

Package: linux-image-6.1.0-56-amd64
Status: install ok installed
Priority: optional
Version: 6.1.192-2
Description: Linux
"""
PACKAGES = "Package: linux-image-6.1.0-56-amd64\nStatus: install ok installed\nVersion: 6.1.192-2\n"
LARGE = 100 << 20
MOST = 600_000
"""Bytes of an answer about a changelog, however large it is."""


def probed(tmp_path: Path, shell: str, changelog: bytes, status: str | None = STATUS) -> Probed:
    folder = tmp_path / "doc" / f"linux-image-{RELEASE}"
    folder.mkdir(parents=True)
    (folder / "changelog.gz").write_bytes(gzip.compress(changelog, compresslevel=1))
    mounts = {tmp_path / "doc": "/usr/share/doc"}
    dpkg = tmp_path / "dpkg"
    dpkg.mkdir()
    if status is not None:
        (dpkg / "status").write_text(status)
    return Probing(shell, mounts={**mounts, dpkg: "/var/lib/dpkg"}).run()


def reading(found: Probed) -> Reading:
    (changelog,) = [each for source, each in found.answer.readings.items() if source.startswith(sources.CHANGELOGS)]
    return changelog


@each_shell
@pytest.mark.needs("accounts")
def test_items_and_packages_are_told_and_nothing_else(shell: str, tmp_path: Path) -> None:
    text = f"{HEADING}\n\n  * New upstream stable update:\n{FIX}\n    - ext4: something else (CVE-2026-1)\n"
    told = reading(probed(tmp_path, shell, text.encode()))
    assert told.is_ok
    assert told.text.splitlines()[0] == HEADING
    assert told.text.endswith(PACKAGES.rstrip("\n"))
    assert "CVE-2026-53359" in told.text
    assert "something else" not in told.text
    assert "bash" not in told.text


@pytest.mark.needs("accounts")
def test_without_dpkgs_status_the_changelog_is_read_all_the_same(tmp_path: Path) -> None:
    told = reading(probed(tmp_path, "sh", f"{HEADING}\n  * All:\n{FIX}\n".encode(), status=None))
    assert told.is_ok
    assert "CVE-2026-53359" in told.text


def entry(version: str, day: str, item: str) -> str:
    trailer = f" -- A Person <a@b.example>  {day} 10:00:00 +0100"
    return f"linux ({version}) bookworm; urgency=high\n\n  * All:\n    - {item}\n\n{trailer}\n\n"


@each_shell
@pytest.mark.needs("accounts")
def test_it_is_read_back_to_2025_as_no_older_version_can_fix_what_was_not_known(shell: str, tmp_path: Path) -> None:
    days = {"3": "Mon, 16 Nov 2026", "2": "Fri, 03 Jan 2025", "1": "Tue, 31 Dec 2024", "0": "Fri, 01 Nov 2024"}
    text = "".join(entry(f"6.1-{n}", day, f"KVM: fix {n} (CVE-2026-5335{n})") for n, day in days.items())
    told = reading(probed(tmp_path, shell, text.encode()))
    assert [n for n in days if f"CVE-2026-5335{n}" in told.text] == ["3", "2", "1"], "the trailer is behind its items"
    assert told.text.endswith(PACKAGES.rstrip("\n"))


@pytest.mark.needs("accounts")
def test_of_an_old_kernel_the_version_is_told(tmp_path: Path) -> None:
    old = entry("4.19-1", "Fri, 01 Nov 2019", "KVM: nothing").encode()
    told = reading(probed(tmp_path, "dash", old * 2))
    assert told.text.splitlines()[0] == "linux (4.19-1) bookworm; urgency=high"


@pytest.mark.slow
@pytest.mark.needs("accounts")
@pytest.mark.parametrize("kind", ["lines", "items", "one line"])
def test_a_changelog_of_100_mb_is_bounded(kind: str, tmp_path: Path) -> None:
    lines = {"lines": b"    - [x86] KVM: nothing that is named\n", "items": f"{FIX}\n".encode(), "one line": b"x"}[kind]
    large = f"{HEADING}\n  * All:\n{FIX}\n".encode() + lines * (LARGE // len(lines))
    found = probed(tmp_path, "dash", large)
    assert found.answer.cut is None
    told = reading(found)
    assert len(told.text) < MOST
    assert "CVE-2026-53359" in told.text
