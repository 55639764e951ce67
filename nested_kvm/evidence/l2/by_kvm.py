"""Runs a tiny test VM (L2) on `/dev/kvm`: sent to a target without QEMU, and run there by its python3, 3.6 or newer.

Takes the code in hexadecimal digits. Prints what the L2 writes to port 0xe9, and exits as QEMU's isa-debug-exit does.
See Documentation/virt/kvm/api.rst of the kernel.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys

REQUESTS = {
    "KVM_CREATE_VM": 0xAE01,
    "KVM_GET_VCPU_MMAP_SIZE": 0xAE04,
    "KVM_CREATE_VCPU": 0xAE41,
    "KVM_SET_USER_MEMORY_REGION": 0x4020AE46,
    "KVM_SET_TSS_ADDR": 0xAE47,
    "KVM_RUN": 0xAE80,
    "KVM_SET_REGS": 0x4090AE82,
    "KVM_GET_SREGS": 0x8138AE83,
    "KVM_SET_SREGS": 0x4138AE84,
}
NO_REFUSAL = (errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Errors that do not show whether KVM could run an L2."""
LOADED_AT, SIZE, TSS = 0x1000, 0x1000, 0x20000
SREGS_SIZE, EXIT_REASON, EXIT_IO, IO = 312, 8, 2, 32
ANSWER_PORT, EXIT_PORT = 0xE9, 0xF4


def fail(what: str, error: OSError) -> SystemExit:
    """Make the exit that says whether KVM refused, or could not be used at all."""
    word = "KVM cannot be used" if error.errno in NO_REFUSAL else "KVM refuses"
    return SystemExit(f"{word}: {what}: {os.strerror(error.errno or 0)}")


def ask(descriptor: int, request: str, argument: "int | bytes | bytearray" = 0) -> int:
    """Make one ioctl."""
    try:
        answer = fcntl.ioctl(descriptor, REQUESTS[request], argument)
    except OSError as error:
        raise fail(request, error) from None
    return answer if isinstance(answer, int) else 0


def boot(code: bytes) -> int:
    """Run the code in real mode until it exits."""
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR)
    except OSError as error:
        raise fail("/dev/kvm", error) from None
    vm = ask(kvm, "KVM_CREATE_VM")
    ask(vm, "KVM_SET_TSS_ADDR", TSS)
    memory = mmap.mmap(-1, SIZE)
    memory[: len(code)] = code
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ask(vm, "KVM_SET_USER_MEMORY_REGION", struct.pack("=IIQQQ", 0, 0, LOADED_AT, SIZE, address))
    vcpu = ask(vm, "KVM_CREATE_VCPU")
    state = mmap.mmap(vcpu, ask(kvm, "KVM_GET_VCPU_MMAP_SIZE"))
    segments = bytearray(SREGS_SIZE)
    ask(vcpu, "KVM_GET_SREGS", segments)
    struct.pack_into("=QIH", segments, 0, 0, 0xFFFF, 0)  # cs: base, limit, selector
    ask(vcpu, "KVM_SET_SREGS", segments)
    ask(vcpu, "KVM_SET_REGS", struct.pack("=18Q", *([0] * 16), LOADED_AT, 2))  # rip, rflags
    return listen(vcpu, state)


def listen(vcpu: int, state: mmap.mmap) -> int:
    """Print what the L2 writes, and return its exit status."""
    while True:
        ask(vcpu, "KVM_RUN")
        (reason,) = struct.unpack_from("=I", state, EXIT_REASON)
        if reason != EXIT_IO:
            (detail,) = struct.unpack_from("=Q", state, IO)
            raise SystemExit(f"KVM refuses: KVM_RUN ends with exit reason {reason} ({detail:#x})")
        _, _, port, _, offset = struct.unpack_from("=BBHIQ", state, IO)
        byte = int(state[offset])
        if port == EXIT_PORT:
            return 2 * byte + 1
        if port == ANSWER_PORT:
            sys.stdout.write(chr(byte))


if __name__ == "__main__":
    sys.exit(boot(bytes.fromhex(sys.argv[1])))
