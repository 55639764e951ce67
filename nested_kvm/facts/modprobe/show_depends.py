"""The answer of `modprobe --show-depends <module>`: kmod's own account of what loading a module does.

Source: `print_action` in kmod's tools/modprobe.c. Shape, one action a line::

    insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko nested=1
    install /bin/false nested=1
    builtin kvm_amd
"""

from dataclasses import dataclass
from typing import Self

_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


@dataclass(frozen=True, slots=True)
class ShowDepends:
    """How kmod loads one module.

    `options`: the string that the module is given, None unless it is inserted. `commands`: `install` commands that
    replace a module, each with the options; kmod does not print which module.
    """

    module: str
    options: str | None = None
    is_built_in: bool = False
    commands: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether the module itself occurs in the answer."""
        return self.is_built_in or self.options is not None

    @classmethod
    def parse(cls, module: str, text: str) -> Self:
        """Read the answer; lines of another shape are ignored."""
        name = module.replace("-", "_")
        options, is_built_in, commands = None, False, list[str]()
        for line in text.split("\n"):
            action, _, rest = line.partition(" ")
            path, _, given = rest.partition(" ")
            if action == "insmod" and _module_name(path) == name:
                options = given.removesuffix(" ")
            elif action == "builtin" and path.strip().replace("-", "_") == name:
                is_built_in = True
            elif action == "install":
                commands.append(rest.removesuffix(" "))
        return cls(name, options, is_built_in, tuple(commands))


def _module_name(path: str) -> str:
    file = path.rpartition("/")[2]
    suffix = next((each for each in _SUFFIXES if file.endswith(each)), "")
    return file.removesuffix(suffix).replace("-", "_")
