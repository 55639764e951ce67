"""kmod's own verdict on the modprobe.d of an archive: this machine's `modprobe` reads the copied folders.

The files are written to a temporary folder, beside modules without code that depend on one another as the archive says,
and the real `modprobe --show-depends` is asked. Nothing is loaded: it only prints.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.archive.copied_files import MODPROBE_D
from nested_kvm.evidence.archive.stub_module import stub_module
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.util.text import printable

ASKED: Final = ("kvm_intel", "kvm_amd", "kvm", "kvm_hv")
_SECONDS: Final = 30
_RELEASE: Final = re.compile(r"(?!\.)[A-Za-z0-9._+~-]{1,100}", re.ASCII)
_PATH: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9._+/-]{1,200}\.ko", re.ASCII)
_NAME: Final = re.compile(r"[^/\0]{1,200}", re.DOTALL)
_ENTRY: Final = re.compile(r"(?:^|[\s\"])([A-Za-z0-9_-]{1,60})\.", re.ASCII)
_SEARCHED: Final = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
_WITH_CMDLINE: Final = 'mount --bind "$1" /proc/cmdline && shift && exec "$@"'
_MOST: Final = 400
"""Modules that are written: KVM's own, what they depend on, and what modprobe.d names."""


@dataclass(frozen=True, slots=True)
class ModuleIndex:
    """Which modules the archive's kernel has: `files` by name with underscores, `needs` the names each depends on."""

    files: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    built_in: frozenset[str] = frozenset()

    def with_needed(self, names: Iterable[str]) -> list[str]:
        """Those of the names that exist, and all modules that they need."""
        found, pending = dict[str, None](), [name for name in names if name in self.files]
        while pending and len(found) < _MOST:
            name = pending.pop()
            if name not in found:
                found[name] = None
                pending += [each for each in self.needs.get(name, ()) if each in self.files]
        return sorted(found)


def index_of_modules_dep(text: str, built_in: Iterable[str] = ()) -> ModuleIndex:
    """Read `modules.dep`: `kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz`."""
    files: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for line in text.split("\n"):
        path, colon, others = line.partition(":")
        if colon and (plain := _plain(path)):
            files[_name(plain)] = plain
            needs[_name(plain)] = [_name(each) for each in map(_plain, others.split()) if each]
    return ModuleIndex(files, needs, frozenset(built_in) - files.keys())


def index_of_modinfo(text: str, built_in: Iterable[str] = ()) -> ModuleIndex:
    """Read `modinfo` of the modules that are loaded: their `filename:` and `depends:`."""
    files: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    name = ""
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        if key == "filename":
            plain = _plain(value.strip().partition("/kernel/")[2])
            name = _name(plain) if plain else ""
            if plain:
                files[name] = plain
        elif key == "depends" and name:
            needs[name] = [each.replace("-", "_") for each in value.strip().split(",") if each]
    return ModuleIndex(files, needs, frozenset(built_in) - files.keys())


@dataclass(frozen=True, slots=True)
class KmodAnswer:
    """The readings of kmod's verdict, and the version that gave it; None: there is no kmod here."""

    readings: tuple[Reading, ...]
    version: str | None


def ask_kmod(readings: Mapping[str, Reading], release: str, index: ModuleIndex) -> KmodAnswer:
    """Ask this machine's kmod what loading each module of KVM would do on the machine of the archive.

    `readings` has modprobe.d and `/proc/cmdline`. What kmod cannot be asked is not collected, with the reason.
    """
    modprobe, depmod = (shutil.which(name, path=_SEARCHED) for name in ("modprobe", "depmod"))
    if modprobe is None or depmod is None:
        return _unasked("kmod, which reads the archive's modprobe.d, is not installed on this machine", None)
    version = _version(modprobe)
    if not _RELEASE.fullmatch(release):
        return _unasked("the archive does not name its kernel, so kmod could not be asked", version)
    try:
        with TemporaryDirectory(prefix="nested-kvm-") as folder:
            asked = _Kmod(Path(folder), modprobe, depmod, release, index)
            asked.write(readings)
            return KmodAnswer(tuple(asked.answer(name) for name in ASKED), version)
    except _CannotAskError as error:
        return _unasked(str(error), version)
    except OSError as error:
        return _unasked(f"kmod could not be asked here: {error.strerror}", version)


class _CannotAskError(Exception):
    """Why kmod's verdict could not be had."""


def _unasked(reason: str, version: str | None) -> KmodAnswer:
    return KmodAnswer(
        tuple(Reading(sources.show_depends(name), Status.NOT_COLLECTED, reason) for name in ASKED), version
    )


def _version(modprobe: str) -> str:
    shown = subprocess.run(  # noqa: S603 - this machine's own modprobe
        [modprobe, "--version"], capture_output=True, check=False, timeout=_SECONDS
    )
    return shown.stdout.decode(errors="replace").partition("\n")[0][:60]


@dataclass(frozen=True, slots=True)
class _Kmod:
    folder: Path
    modprobe: str
    depmod: str
    release: str
    index: ModuleIndex

    def write(self, readings: Mapping[str, Reading]) -> None:
        """Lay out the folders, the modules and the command line."""
        names = {*ASKED}
        for number, directory in enumerate(MODPROBE_D):
            at = self.folder / f"conf{number}"
            at.mkdir()
            listing = readings.get(directory)
            for name in listing.text.split("\n") if listing is not None and listing.is_ok else ():
                reading = readings.get(f"{directory}/{name}")
                if reading is not None:
                    self._write_file(at, name, reading)
                    names |= {word.replace("-", "_") for word in re.findall(r"[\w-]+", reading.text[:100_000])}
        self._write_modules(self.index.with_needed(names))
        cmdline = readings.get(sources.CMDLINE)
        (self.folder / "cmdline").write_text(cmdline.text if cmdline is not None else "", errors="replace")

    def answer(self, module: str) -> Reading:
        """The answer for one module, with the paths as the machine of the archive has them."""
        source = sources.show_depends(module)
        if module not in self.index.files and module not in self.index.built_in:
            reason = f"the archive does not show whether its kernel has {module}: it holds no modules.dep that names it"
            return Reading(source, Status.NOT_COLLECTED, reason)
        folders = [word for number in range(len(MODPROBE_D)) for word in ("-C", str(self.folder / f"conf{number}"))]
        command = [self.modprobe, "-d", str(self.folder), "-S", self.release, *folders, "--show-depends", module]
        done = self._run(self._with_cmdline(command))
        text = done.stdout.decode("utf-8", "replace").replace(str(self.folder), "").removesuffix("\n")
        return Reading(source, Status.OK if done.returncode == 0 else Status.FAILED, text, done.returncode)

    def _with_cmdline(self, command: list[str]) -> list[str]:
        """The command, in its own mount namespace where this machine's command line would change the answer.

        kmod always appends what `/proc/cmdline` sets: it has to be the archive's.
        """
        known = set(self.index.with_needed(ASKED)) | self.index.built_in
        own = Path(sources.CMDLINE).read_text(encoding="utf-8", errors="replace")
        theirs = (self.folder / "cmdline").read_text(encoding="utf-8", errors="replace")
        named = {name.replace("-", "_") for text in (own, theirs) for name in _ENTRY.findall(text)}
        if not named & known:
            return command
        unshare = shutil.which("unshare", path=_SEARCHED)
        entry = [unshare or "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _WITH_CMDLINE, "sh"]
        entry.append(str(self.folder / "cmdline"))
        if unshare is None or self._run([*entry, "true"]).returncode:
            shown = ", ".join(sorted(named & known))
            raise _CannotAskError(
                f"a kernel command line sets {shown}, and this machine does not let kmod read the archive's: "
                "unshare(1) is refused"
            )
        return [*entry, *command]

    def _write_file(self, at: Path, name: str, reading: Reading) -> None:
        if not _NAME.fullmatch(name) or name in {".", ".."} or "\N{REPLACEMENT CHARACTER}" in name:
            raise _CannotAskError(
                f"the name {printable(name, 80)} in the archive's modprobe.d is not UTF-8, or no file's"
            )
        path = at / name
        if reading.status is Status.DEVICE:
            path.symlink_to("/dev/null")
        elif reading.is_ok:
            path.write_bytes(reading.text.encode("utf-8", "replace"))
        elif reading.status is not Status.DIRECTORY:
            raise _CannotAskError(f"{reading.source} of the archive could not be read, so kmod was not asked")

    def _write_modules(self, names: Sequence[str]) -> None:
        base = self.folder / "lib" / "modules" / self.release
        (base / "kernel").mkdir(parents=True)
        (self.folder / "usr").mkdir()
        (self.folder / "usr" / "lib").symlink_to("../lib")
        for name in names:
            path = base / self.index.files[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            needed = [f"of_{each}" for each in self.index.needs.get(name, ()) if each in names]
            path.write_bytes(stub_module(name, f"of_{name}", needed))
        (base / "modules.order").touch()
        built_in = "".join(f"kernel/{name}.ko\n" for name in sorted(self.index.built_in))
        (base / "modules.builtin").write_text(built_in, encoding="utf-8")
        made = self._run([self.depmod, "-b", str(self.folder), self.release])
        if made.returncode:
            raise _CannotAskError("depmod refused the modules that the archive names")

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": _SEARCHED, "LC_ALL": "C"}
        try:
            return subprocess.run(  # noqa: S603 - this machine's own kmod; no shell sees a word of the archive
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise _CannotAskError(f"kmod did not answer within {_SECONDS} s") from None


def _plain(path: str) -> str | None:
    """The path of a module as it was before it was compressed, below its kernel's folder; None: it is no such path."""
    plain = re.sub(r"\.ko\.(gz|xz|zst)$", ".ko", path.strip())
    plain = plain if plain.startswith(("kernel/", "updates/", "extra/", "weak-updates/")) else f"kernel/{plain}"
    return plain if _PATH.fullmatch(plain) else None


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".ko").replace("-", "_")
