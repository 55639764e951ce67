"""A tiny test VM (L2), and the script that boots it on a target: only `--active` starts it.

The L2 writes `L2OK` to QEMU's debug port 0xe9, and leaves through port 0xf4. QEMU reads it from a pipe, as an option
ROM that SeaBIOS runs: no file is written on the target, so none is left behind.
"""

from importlib.resources import files
from typing import Final

BY_QEMU: Final = "qemu-system-x86_64 -accel kvm"
BY_PYTHON: Final = "python3, by ioctl of /dev/kvm"
ON_XEN: Final = (
    "no test VM (L2) was started: the guest runs on Xen, which an L2 under KVM can bring down; "
    "--active-on-xen starts one all the same"
)
ANSWER: Final = "L2OK"
LEFT: Final = 85
"""The exit status of QEMU when a guest writes 42 to isa-debug-exit: 2 * 42 + 1."""
CODE: Final = bytes.fromhex(
    "31d2 b2e9"  # xor dx,dx; mov dl,0xe9
    "b04cee b032ee b04fee b04bee b00aee"  # mov al,…; out dx,al: each of L2OK and a newline
    "b2f4 b02aee"  # mov dl,0xf4; mov al,42; out dx,al
    "fa f4 ebfd"  # cli; hlt; and back to the hlt
)
"""Real-mode, position-independent code; no byte is 0, so that a shell variable can hold it."""
_SECTOR: Final = 512


def option_rom() -> bytes:
    """The L2 as an option ROM: signature, length in sectors, code, and a last byte with which the sum is 0."""
    rom = (b"\x55\xaa\x01" + CODE).ljust(_SECTOR - 1, b"\x90")
    return rom + bytes([-sum(rom) % 256])


def boot_script() -> str:
    """The whole script; its header documents its arguments."""
    return _text("boot.sh")


def boot_arguments(nonce: str, seconds: int, accelerator: str = "kvm", model: str = "host") -> tuple[str, ...]:
    """The script's arguments. Only tests use another accelerator than KVM: an answer under that proves nothing."""
    rom = "".join(f"\\0{byte:03o}" for byte in option_rom())
    return (nonce, str(seconds), rom, _text("by_kvm.py"), CODE.hex(), accelerator, model)


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
