"""Generated modprobe configurations: what people write, and what nobody should have to read."""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from nested_kvm.evidence.reading import Reading, Status
from tests.integration.kmod.module_tree import DIRECTORIES

_NAMES = (
    "10-a.conf", "99-z.conf", "kvm.conf", "a.conf", "A.conf", "é.conf", "sp ace.conf", "old.alias",
    ".hidden.conf", ".conf", "kvm.conf.bak", "kvm.confx", "noext", "kvm.conf~",
)  # fmt: skip
_DIRECTIVES = (
    "options", "options", "options", "options", "OPTIONS", "option", "blacklist", "install", "remove", "alias",
    "softdep", "weakdep", "include", "config", "#", "#options", "# options", "\ufeffoptions", "",
)  # fmt: skip
_MODULES = (
    "kvm_amd", "kvm_amd", "kvm-amd", "kvm_intel", "kvm-intel", "kvm_hv", "kvm", "KVM_AMD", "kvm*", "kvm[-_]amd",
    "kvm[_-]*", "?vm_amd", "[kl]vm-amd", "k[!x]m-amd", "kvm_[^i]*", "[[:alpha:]]vm_amd", "kvm_[a-c]md", "[]k]vm-amd",
    "[!]k]vm-amd", "kvm\\\\_amd", "kvm[", "kvm]", "[kvm", "[]vm_amd", "kvm.amd", "off", "nosuchmodule", "",
)  # fmt: skip
_ARGUMENTS = (
    "nested=1", "nested=0", "nested=y", "nested", "nested='1'", 'nested="1"', '"nested=1"', "npt=1 nested=0",
    "nested = 1", "nested=1#c", "nested=1 # c", "nested=1\r", "\\", "\\n", "é", "kvm_intel", "kvm_amd nested=1",
    "/bin/false", "/sbin/modprobe --ignore-install $CMDLINE_OPTS", "pre: nosuchmodule", "\t", "x\0y", "",
)  # fmt: skip
_BLANKS = (" ", " ", " ", "  ", "\t", " \t", "", "\\\n", " \\\n ", "\\ ")
_ENDS = ("\n", "\n", "\n", "\n", "\r\n", "\\\n", "\\\r\n", "\n\n", "\\\\\n", " \n", "\t\n", "")
_WORDS = (
    "kvm-amd.nested=0", "kvm_amd.nested=1", "kvm_intel.nested", '"kvm_amd.nested=1 2"', 'kvm_amd.x="a b"', "quiet",
    "modprobe.blacklist=kvm_amd,kvm-intel", '"modprobe.blacklist=kvm_amd"', "modprobe.blacklist=", "kvm_amd.",
    "modprobe.blacklist", "module_blacklist=kvm_amd", "a.b.c=1", "=x", ".a=1", "kvm_amd.=1", 'k"v.m=1',
    '"kvm_amd.nested"', '""kvm_amd.x=1', 'kvm_amd.x=1"', "--", "kvm[a.b=1", "kvm-[-].b=1", "kvm_amd.x=\té",
    "x" * 4080,
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A name in a directory: a `kind` of thing, and what a file of that name holds."""

    kind: str
    content: bytes


@dataclass(frozen=True)
class Case:
    """One configuration: what each folder holds, and the command line."""

    folders: dict[str, dict[str, Entry]]
    cmdline: bytes

    def write(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "cmdline").write_bytes(self.cmdline)
        for name, entries in self.folders.items():
            (folder / name).mkdir()
            for file, entry in entries.items():
                _write(folder / name / file, entry)

    def readings(self) -> dict[str, Reading]:
        readings = {path: Reading(path, Status.ABSENT) for path in DIRECTORIES.values()}
        readings["/lib"] = Reading("/lib", Status.DIRECTORY)
        for folder, entries in self.folders.items():
            path = DIRECTORIES[folder]
            readings[path] = Reading(path, Status.OK, "".join(f"{name}\n" for name in entries))
            for name, entry in entries.items():
                readings[f"{path}/{name}"] = _reading(f"{path}/{name}", entry)
        return readings

    @property
    def cmdline_text(self) -> str:
        return self.cmdline.decode(errors="replace")


def _write(path: Path, entry: Entry) -> None:
    match entry.kind:
        case "directory":
            path.mkdir()
        case "dangling":
            path.symlink_to("nothing-here")
        case "device":
            path.symlink_to("/dev/null")
        case "link":
            path.with_name(f"{path.name}.target").write_bytes(entry.content)
            path.symlink_to(f"{path.name}.target")
        case _:
            path.write_bytes(entry.content)


def _reading(path: str, entry: Entry) -> Reading:
    links = {"dangling": "nothing-here", "device": "/dev/null", "link": f"{path}.target"}
    status = {"directory": Status.DIRECTORY, "dangling": Status.DANGLING, "device": Status.DEVICE}
    held = entry.kind in {"file", "link"}
    text = entry.content.decode(errors="replace") if held else ""
    return Reading(path, status.get(entry.kind, Status.OK), text, link=links.get(entry.kind))


_pick = st.sampled_from
_line = st.builds(
    lambda lead, directive, *rest: (lead + directive + "".join(rest)).encode(),
    _pick(("", "", "", " ", "\t", "\\\n")),
    *(_pick(each) for each in (_DIRECTIVES, _BLANKS, _MODULES, _BLANKS, _ARGUMENTS, _BLANKS, _ARGUMENTS, _ENDS)),
)
_noise = st.one_of(
    st.text("options kvm_amd-nested=10\t\\\n\r#\"'[]\0é", max_size=40).map(str.encode),
    _pick((b"options kvm_amd \xe9=1\n", "options kvm_amd nested=0\n".encode("utf-16"), b"\xff\n")),
)
_content = st.builds(
    lambda mark, lines: mark + b"".join(lines),
    _pick((b"", b"", b"", b"", b"\xef\xbb\xbf")),
    st.lists(st.one_of(_line, _line, _line, _noise), max_size=5),
)
_kind = _pick(("file",) * 12 + ("directory", "device", "dangling", "link"))
_entries = st.dictionaries(_pick(_NAMES), st.builds(Entry, _kind, _content), max_size=4)
_cmdline = st.lists(st.one_of(_pick(_WORDS), st.text('kvm_amd-.="\t\n,[', max_size=12)), max_size=4).map(
    lambda words: " ".join(words).encode() + b"\n"
)

cases = st.builds(Case, st.dictionaries(_pick(tuple(DIRECTORIES)), _entries, max_size=4), _cmdline)
