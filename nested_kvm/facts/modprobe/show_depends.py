"""The answer of `modprobe --show-depends <module>`: kmod's own account of what loading a module does.

Source: `print_action` in kmod's tools/modprobe.c. Shape, one action a line::

    insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko nested=1
    install /bin/false nested=1
    builtin kvm_amd
"""

from dataclasses import dataclass, field
from typing import Self

_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


@dataclass(frozen=True, slots=True)
class Insertion:
    """A module that is inserted, and the options that it is given."""

    module: str
    options: str


@dataclass(frozen=True, slots=True)
class ShowDepends:
    """How kmod loads one module.

    `options`: the string that the module is given, None unless it is inserted. `commands`: `install` commands that
    replace a module, each with the options; kmod does not print which module. `insertions`: every module that is
    inserted, in order, this one and those that it depends on.
    """

    module: str
    options: str | None = None
    is_built_in: bool = False
    commands: tuple[str, ...] = ()
    insertions: tuple[Insertion, ...] = field(default=(), compare=False)

    @property
    def is_named(self) -> bool:
        """Whether the module itself occurs in the answer."""
        return self.is_built_in or self.options is not None

    @classmethod
    def parse(cls, module: str, text: str) -> Self:
        """Read the answer; lines of another shape are ignored."""
        name = module.replace("-", "_")
        is_built_in, commands, insertions = False, list[str](), list[Insertion]()
        for line in text.split("\n"):
            action, _, rest = line.partition(" ")
            path, _, given = rest.partition(" ")
            if action == "insmod":
                insertions.append(Insertion(module_name(path), given.removesuffix(" ")))
            elif action == "builtin" and path.strip().replace("-", "_") == name:
                is_built_in = True
            elif action == "install":
                commands.append(rest.removesuffix(" "))
        own = [each.options for each in insertions if each.module == name]
        return cls(name, own[-1] if own else None, is_built_in, tuple(commands), tuple(insertions))


def module_name(path: str) -> str:
    """The module's name by the path of its file: `kvm_amd` of `/lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko`."""
    file = path.rpartition("/")[2]
    suffix = next((each for each in _SUFFIXES if file.endswith(each)), "")
    return file.removesuffix(suffix).replace("-", "_")
