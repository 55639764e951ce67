"""An L2 of a few bytes, and the script that boots it on a target: what `--active` starts, and nothing else does.

The L2 writes `L2OK` to QEMU's debug port 0xe9, and leaves through port 0xf4. QEMU reads it from a pipe, as an option
ROM that SeaBIOS runs: no file is written on the target, so none can be left there.
"""

from importlib.resources import files
from typing import Final

BY_QEMU: Final = "qemu-system-x86_64 -accel kvm"
BY_PYTHON: Final = "python3, by ioctl of /dev/kvm"
ANSWER: Final = "L2OK"
LEFT: Final = 85
"""The exit status of QEMU where a guest writes 42 to isa-debug-exit: twice that, and one."""
CODE: Final = bytes.fromhex(
    "31d2 b2e9"  # xor dx,dx; mov dl,0xe9
    "b04cee b032ee b04fee b04bee b00aee"  # mov al,…; out dx,al: each of L2OK and a newline
    "b2f4 b02aee"  # mov dl,0xf4; mov al,42; out dx,al
    "fa f4 ebfd"  # cli; hlt; and back to the hlt
)
"""Real mode, and wherever it is loaded; no byte is 0, so that a shell can hold it."""
_SECTOR: Final = 512


def option_rom() -> bytes:
    """The L2 as an option ROM: signature, length in sectors, code, and a last byte with which the sum is 0."""
    rom = (b"\x55\xaa\x01" + CODE).ljust(_SECTOR - 1, b"\x90")
    return rom + bytes([-sum(rom) % 256])


def boot_script() -> str:
    """The whole script; its head says what it takes."""
    return _text("boot.sh")


def boot_arguments(nonce: str, seconds: int, accelerator: str = "kvm", model: str = "host") -> tuple[str, ...]:
    """What the script takes. Only a test asks for another accelerator than KVM: an answer by it proves nothing."""
    rom = "".join(f"\\0{byte:03o}" for byte in option_rom())
    return (nonce, str(seconds), rom, _text("by_kvm.py"), CODE.hex(), accelerator, model)


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
