"""A root directory with the real kmod and modules that no kernel ever saw, to be entered with chroot.

Each case is a directory of its own; in the root, every path that kmod reads is a link through `/case`, which the
script points at one case after the other. So one chroot serves any number of cases, and nothing is mounted.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

from tests.support.needs import program

DIRECTORIES = {
    "etc": "/etc/modprobe.d",
    "run": "/run/modprobe.d",
    "local": "/usr/local/lib/modprobe.d",
    "usr": "/usr/lib/modprobe.d",
    "lib": "/lib/modprobe.d",
}
"""A case's folders, and the directories that they stand for."""

MODULES = {
    "kvm": "ignore_msrs:(bool)",
    "kvm-amd": "nested:(int)",
    "kvm-intel": "nested:(bool)",
}
BUILT_IN = "kvm_hv"
QUESTIONS = ("kvm_amd", "kvm-intel", BUILT_IN)
"""The modules that the script asks `modprobe --show-depends` about."""

_SCRIPT = f"""\
cd /cases || exit 1
for case in *; do
    ln -sfn "/cases/$case" /case
    /sbin/modprobe -c >"/answers/$case.config" 2>>/answers/errors
    /sbin/modprobe --all --show-depends {" ".join(QUESTIONS)} >"/answers/$case.loads" 2>>/answers/errors
done
"""


def object_file(modinfo: dict[str, str]) -> bytes:
    """Write the smallest relocatable ELF file that has a `.modinfo` section."""
    info = b"".join(f"{key}={value}\0".encode() for key, value in modinfo.items())
    names = b"\0.modinfo\0.shstrtab\0.symtab\0.strtab\0"
    symbols, strings = bytes(24), b"\0"
    contents = info + names + symbols + strings
    at = [64, 64 + len(info), 64 + len(info) + len(names), 64 + len(info) + len(names) + len(symbols)]
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 2, 0, at[0], len(info), 0, 0, 1, 0),
        (10, 3, 0, 0, at[1], len(names), 0, 0, 1, 0),
        (20, 2, 0, 0, at[2], len(symbols), 4, 1, 1, 24),
        (28, 3, 0, 0, at[3], len(strings), 0, 0, 1, 0),
    ]
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", identity, 1, 62, 1, 0, 0, 64 + len(contents), 0, 64, 0, 0, 64, len(sections), 2
    )
    return header + contents + b"".join(struct.pack("<IIQQQQIIQQ", *section) for section in sections)


class ModuleTree:
    """The root: `modprobe -c` and `modprobe --show-depends` for many cases at one entry."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cases, self.answers = root / "cases", root / "answers"
        self._lay_out()
        self._install("kmod", "/sbin/modprobe", "/sbin/modinfo")
        self._install("busybox", "/bin/sh", "/bin/ln")
        self._build_modules()

    def ask(self, script: str = _SCRIPT, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a script in the root, over all cases; answers land in `answers`."""
        entry = ["chroot"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "chroot"]
        entry = [program(entry[0]) or entry[0], *entry[1:], *command, str(self.root)]
        environment = {"PATH": "/sbin:/bin", "LC_ALL": "C"}
        return subprocess.run(
            [*entry, "/bin/sh", "-c", script], env=environment, capture_output=True, check=False, timeout=600
        )

    def clear(self) -> None:
        """Forget all cases and answers."""
        for folder in (self.cases, self.answers):
            shutil.rmtree(folder)
            folder.mkdir(mode=0o777)

    def answer(self, case: str, question: str) -> str:
        """Read one answer, decoded as evidence is."""
        return (self.answers / f"{case}.{question}").read_bytes().decode(errors="replace")

    def module_path(self, module: str) -> str:
        """Tell where the tree keeps a module."""
        return f"/lib/modules/{os.uname().release}/kernel/{module}.ko"

    def _lay_out(self) -> None:
        for folder in ("sbin", "bin", "proc", "dev", "etc", "run", "usr/local/lib", "usr/lib", "lib"):
            (self.root / folder).mkdir(parents=True)
        self.cases.mkdir(mode=0o777)
        self.answers.mkdir(mode=0o777)
        for folder, path in DIRECTORIES.items():
            (self.root / path[1:]).symlink_to(f"/case/{folder}")
        (self.root / "proc/cmdline").symlink_to("/case/cmdline")
        (self.root / "dev/null").touch(mode=0o444)  # To kmod, an empty file is what a device without content is.

    def _install(self, tool: str, *names: str) -> None:
        path = program(tool)
        assert path is not None
        for file in (path, *_libraries(path)):
            goal = self.root / file[1:]
            goal.parent.mkdir(parents=True, exist_ok=True)
            if not goal.exists():
                shutil.copy(file, goal)
        for name in names:
            (self.root / name[1:]).symlink_to(path)

    def _build_modules(self) -> None:
        release = os.uname().release
        folder = self.root / "lib/modules" / release / "kernel"
        folder.mkdir(parents=True)
        for module, parameter in MODULES.items():
            info = {"license": "GPL", "parmtype": parameter.replace("(", "").replace(")", "")}
            (folder / f"{module}.ko").write_bytes(object_file({**info, "name": module.replace("-", "_")}))
        (folder.parent / "modules.builtin").write_text(f"kernel/{BUILT_IN}.ko\n")
        (folder.parent / "modules.order").touch()
        depmod = program("depmod")
        assert depmod is not None
        subprocess.run([depmod, "-b", str(self.root), release], check=True, capture_output=True)


def _libraries(program: str) -> list[str]:
    """List the shared libraries of a program, and the loader; none for a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    words = [word for line in listed.stdout.splitlines() for word in line.split()]
    return [word for word in words if word.startswith("/")]
