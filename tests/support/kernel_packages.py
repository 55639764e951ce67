"""Real kernel packages of Debian's archive: downloaded, never installed and never booted.

`python -m tests.support.kernel_packages` prints the table of each with its verdict per advisory, and by what.
"""

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.probe import readable_probe
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.advisories.advisory_file import packaged_advisories
from nested_kvm.facts.kernel.build import KernelBuild, kernel_build_of
from nested_kvm.facts.kvm.exposure import CveState, cve_state
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Policy

SUITES: Final = ("bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid")
SECURITY: Final = (("Debian-Security", "bookworm-security"), ("Debian-Security", "trixie-security"))
WANTED: Final = 10
LEAST: Final = 8
_SERIES: Final = re.compile(r"linux-image-(\d+\.\d+)\.\d\S*-cloud-amd64\Z")
_APT: Final = """\
Dir::State::lists "{0}/lists";
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Cache "{0}/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
"""


class NotAvailable(Exception):
    """The packages cannot be had here."""


@dataclass(frozen=True)
class KernelPackage:
    """One package: what its kernel prints as its version, and what the probe reads of its changelog."""

    name: str
    version: str
    release: str
    text: str
    """As `/proc/sys/kernel/version` would be: from the kernel image's own header, where the package has one."""
    changelog: Reading

    @property
    def build(self) -> KernelBuild:
        given = {
            "/proc/sys/kernel/osrelease": self.release,
            "/proc/sys/kernel/version": self.text,
            "/etc/os-release": "ID=debian",
        }
        readings = {source: Reading(source, Status.OK, text) for source, text in given.items()}
        target = Target(self.name, TargetLevel.L0, Address.parse("kernel"), Policy())
        return kernel_build_of(
            Bundle(target, datetime.now(UTC), "0", {**readings, self.changelog.source: self.changelog})
        )

    def states(self, *, with_changelog: bool = True, with_version: bool = True) -> dict[str, CveState]:
        """The state of each advisory, by both or by one of what can prove it."""
        build = self.build
        build = build if with_changelog else replace(build, changelog=None)
        build = build if with_version else replace(build, upstream=None)
        return {each.id: cve_state(build, each) for each in packaged_advisories().entries}


def kernel_packages(folder: Path) -> list[KernelPackage]:
    """Download about ten into the folder, of as many series as there are, the oldest and the newest of each.

    Raises:
        NotAvailable: with the reason.
    """
    apt = _Apt(folder)
    found: list[KernelPackage] = []
    reasons: list[str] = []
    for name in _in_turn(apt.names()):
        try:
            found.append(apt.package(name))
        except NotAvailable as reason:  # an older package's documentation is no longer in the archive
            reasons.append(str(reason))
        if len(found) == WANTED:
            break
    if len(found) < LEAST:
        raise NotAvailable(f"{len(found)} of the {LEAST} that are needed can be had: {'; '.join(reasons[:3])}")
    return sorted(found, key=lambda each: _numbers(each.version))


def _in_turn(names: list[str]) -> Iterator[str]:
    """The newest of each series, then the oldest of each, then the next of each."""
    by_series: dict[str, list[str]] = {}
    for name in names:
        found = _SERIES.fullmatch(name)
        if found:
            by_series.setdefault(found[1], []).append(name)
    takes_last = True
    while any(by_series.values()):
        yield from [of_series.pop(-1 if takes_last else 0) for of_series in by_series.values() if of_series]
        takes_last = not takes_last


def _numbers(name: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", name)]


class _Apt:
    """apt with a separate cache and separate lists: neither the machine's sources nor its packages change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        self._config = folder / "apt.conf"
        self._config.write_text(_APT.format(folder))
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        lines = [f"deb [signed-by={key}] {site} {suite} main" for site, suite in self._sites()]
        (folder / "sources.list").write_text("\n".join(lines) + "\n")
        self._apt("apt-get", "-q", "update")

    def names(self) -> list[str]:
        """The names of the kernel packages for virtual machines, in the order of their versions."""
        return sorted(self._apt("apt-cache", "pkgnames", "linux-image-").split(), key=_numbers)

    def package(self, name: str) -> KernelPackage:
        """Download and unpack a package, and that to which its documentation is linked."""
        release = name.removeprefix("linux-image-")
        root = self._unpacked(name)
        documentation = root / "usr/share/doc" / name
        if documentation.is_symlink():
            self._unpacked(str(documentation.readlink()))
        changelog, *_ = documentation.resolve().glob("changelog*.gz")
        version = self._apt("apt-cache", "show", "--no-all-versions", name)
        (package,) = re.findall(r"^Version: (\S+)$", version, re.MULTILINE)[:1]
        image = root / "boot" / f"vmlinuz-{release}"
        text = _own_version(image) if image.exists() else f"#1 SMP PREEMPT_DYNAMIC Debian {package}"
        return KernelPackage(name, package, release, text, _probed(changelog, release))

    def _unpacked(self, name: str) -> Path:
        downloads, root = self._folder / "debs", self._folder / "root"
        downloads.mkdir(exist_ok=True)
        root.mkdir(exist_ok=True)
        self._apt("apt-get", "-q", "download", name, folder=downloads)
        (file,) = downloads.iterdir()
        wanted = ("--wildcards", "./usr/share/doc/*", "./boot/vmlinuz*")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as archive:
            # A package has one of them or both: tar says so of what it does not find.
            subprocess.run(
                ["tar", "-x", "-C", root, *wanted], stdin=archive.stdout, stderr=subprocess.DEVNULL, check=False
            )
        file.unlink()
        return root

    def _sites(self) -> list[tuple[str, str]]:
        """Where this machine gets Debian's own packages from, and the suites that are there."""
        found = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line.split() for line in found.stdout.splitlines()]
        sites = {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "Debian"}
        if "Debian" not in sites:
            raise NotAvailable("apt has no source of Debian's packages")
        own = [(sites["Debian"], suite) for suite in SUITES]
        return own + [(sites[label], suite) for label, suite in SECURITY if label in sites]

    def _apt(self, *command: str, folder: Path | None = None) -> str:
        # A container's settings may switch the caches off, and each call would read all lists again.
        kept = ("-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin")
        done = subprocess.run(
            (command[0], *kept, *command[1:]),
            env={"APT_CONFIG": str(self._config), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NotAvailable(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['failed'])[-1][:200]}")
        return done.stdout


def _own_version(image: Path) -> str:
    """The version that the kernel has in its image's header (Documentation/arch/x86/boot.rst), behind the release."""
    data = image.read_bytes()
    (offset,) = struct.unpack_from("<H", data, 0x20E)
    text = data[0x200 + offset :].split(b"\0", 1)[0].decode()
    return text[text.index("#") :]


def _probed(changelog: Path, release: str) -> Reading:
    """What the probe's own commands read of a changelog."""
    with TemporaryDirectory() as folder:
        documentation = Path(folder) / "doc" / f"linux-image-{release}"
        documentation.mkdir(parents=True)
        shutil.copy(changelog, documentation / changelog.name)
        (Path(folder) / "osrelease").write_text(f"{release}\n")
        script = readable_probe().rpartition('main "$@"')[0]
        script = script.replace("/usr/share/doc", f"{folder}/doc").replace(
            "/proc/sys/kernel/osrelease", f"{folder}/osrelease"
        )
        script += "nonce=N seconds=60 frames=0 said=\nchangelog\nprint_said\n"
        done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
    text = done.stdout.partition("\n")[2].rpartition("\n@N end exit 0")[0]
    return Reading(f"gzip -dc /usr/share/doc/linux-image-{release}/{changelog.name}", Status.OK, text.strip("\n"))


def table(packages: list[KernelPackage]) -> Iterator[str]:
    """A line for each package and advisory: the verdict of both, of the changelog alone and of the version alone."""
    for package in packages:
        both = package.states()
        alone = package.states(with_version=False)
        version = package.states(with_changelog=False)
        yield f"{package.name} {package.version}"
        for identifier, state in both.items():
            by_changelog = "named" if alone[identifier].is_fixed is Answer.YES else "not named"
            by_version = version[identifier]
            words = {Answer.YES: "fixed", Answer.NO: "vulnerable", Answer.UNKNOWN: "unknown"}[state.is_fixed]
            yield f"  {identifier}  {words:<10}  changelog: {by_changelog:<9}  version: {by_version.reason}"


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as folder:
        sys.stdout.write("\n".join(table(kernel_packages(Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
