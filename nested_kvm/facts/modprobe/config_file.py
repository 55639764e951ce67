"""Which files of modprobe.d kmod reads, in which order, and which hide which.

Sources: `kmod_config_new`, `conf_files_list`, `conf_files_insert_sorted` and `conf_files_filter_out` in kmod's
libkmod/libkmod-config.c.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES, Kmod


class FileState(StrEnum):
    """Whether kmod reads a file in one of the directories, and if not, why."""

    READ = "kmod reads it"
    MASKED = "a file of the same name in a higher directory hides it"
    WRONG_SUFFIX = "its name does not end in .conf"
    HIDDEN = "its name starts with a dot"
    NOT_SEARCHED = "this version of kmod does not search the directory"
    DIRECTORY = "it is a directory"
    DEVICE = "it is a device, which has no content, and hides the same name in lower directories"
    DANGLING = "it is a link to nothing"
    SPECIAL = "it is a socket or a FIFO, and modprobe waits for a FIFO forever"
    UNREADABLE = "the probing account may not read it, and kmod silently ignores it"
    NOT_OBSERVED = "it is listed, but was not inspected"


_STATES = {
    Status.OK: FileState.READ,
    Status.DIRECTORY: FileState.DIRECTORY,
    Status.DEVICE: FileState.DEVICE,
    Status.DANGLING: FileState.DANGLING,
    Status.SPECIAL: FileState.SPECIAL,
    Status.UNREADABLE: FileState.UNREADABLE,
}
_UNSEEN = frozenset({Status.FAILED, Status.TIMED_OUT, Status.MISSING, Status.NOT_COLLECTED})
_LIB, _USR_LIB = "/lib/modprobe.d", "/usr/lib/modprobe.d"


@dataclass(frozen=True, slots=True)
class ModprobeFile:
    """A file in modprobe.d, its state, and the path of the file that hides it."""

    directory: str
    name: str
    state: FileState
    masked_by: str | None = None

    @property
    def path(self) -> str:
        """The path of the file."""
        return f"{self.directory}/{self.name}"


def unseen_directories(readings: Mapping[str, Reading], kmod: Kmod) -> tuple[str, ...]:
    """Name the directories that kmod searches and that were not listed."""
    return tuple(path for path in kmod.directories if path not in readings or readings[path].status in _UNSEEN)


def unreadable_directories(readings: Mapping[str, Reading], kmod: Kmod) -> tuple[str, ...]:
    """Name the directories that kmod searches and that the probing account may not list."""
    return tuple(path for path in kmod.directories if path in readings and readings[path].status is Status.UNREADABLE)


def modprobe_files(readings: Mapping[str, Reading], kmod: Kmod) -> tuple[ModprobeFile, ...]:
    """Determine the state of every listed file; sorted as kmod reads them, by name and then by directory.

    A listed name without a reading is `NOT_OBSERVED`.
    """
    owners: dict[str, str] = {}
    files = [
        _masked(file, owners, kmod)
        for directory in _directories(readings, kmod)
        for file in _listed(directory, readings, kmod)
    ]
    return tuple(sorted(files, key=lambda file: file.name))


def _directories(readings: Mapping[str, Reading], kmod: Kmod) -> Iterator[str]:
    """Yield the directories to inspect: where /lib is a link to usr/lib the two are one, and are inspected once."""
    searched = kmod.directories
    twin = _LIB if _USR_LIB in searched else _USR_LIB
    is_twin = _is_merged(readings)
    for directory in (*searched, *(path for path in ALL_DIRECTORIES if path not in searched)):
        if directory != twin or not is_twin:
            yield directory


def _is_merged(readings: Mapping[str, Reading]) -> bool:
    root = readings.get("/lib")
    if root is not None:
        return root.link is not None and root.link.strip("/") == "usr/lib"
    names = _names(_LIB, readings)
    return names == _names(_USR_LIB, readings) and all(
        _content(f"{_LIB}/{name}", readings) == _content(f"{_USR_LIB}/{name}", readings) for name in names
    )


def _content(path: str, readings: Mapping[str, Reading]) -> tuple[Status, str] | None:
    reading = readings.get(path)
    return None if reading is None else (reading.status, reading.text)


def _names(directory: str, readings: Mapping[str, Reading]) -> list[str]:
    listing = readings.get(directory)
    return sorted({name for name in listing.text.split("\n") if name}) if listing and listing.is_ok else []


def _listed(directory: str, readings: Mapping[str, Reading], kmod: Kmod) -> Iterator[ModprobeFile]:
    for name in _names(directory, readings):
        state = _state(name, readings.get(f"{directory}/{name}"), kmod)
        unsearched = directory not in kmod.directories and state not in {
            FileState.WRONG_SUFFIX,
            FileState.HIDDEN,
        }
        yield ModprobeFile(directory, name, FileState.NOT_SEARCHED if unsearched else state)


def _state(name: str, reading: Reading | None, kmod: Kmod) -> FileState:
    if name.startswith("."):
        return FileState.HIDDEN
    if not name.endswith(kmod.suffixes):
        return FileState.WRONG_SUFFIX
    return FileState.NOT_OBSERVED if reading is None else _STATES.get(reading.status, FileState.NOT_OBSERVED)


def _masked(file: ModprobeFile, owners: dict[str, str], kmod: Kmod) -> ModprobeFile:
    """Note the first file of each name that kmod lists, and mark the others as hidden by it."""
    if not _is_listed(file.state, kmod):
        return file
    owner = owners.setdefault(file.name, file.path)
    return file if owner == file.path else replace(file, state=FileState.MASKED, masked_by=owner)


def _is_listed(state: FileState, kmod: Kmod) -> bool:
    if state is FileState.DANGLING:
        return kmod.dangling_link_masks
    return state not in {
        FileState.WRONG_SUFFIX,
        FileState.HIDDEN,
        FileState.NOT_SEARCHED,
        FileState.DIRECTORY,
    }
