"""A kernel module without code: what depmod reads to learn which module depends on which, and nothing else.

depmod takes the symbols that a module exports from its section `__ksymtab_strings`, and those that it needs from the
undefined ones of its symbol table (kmod's libkmod/libkmod-elf.c).
"""

import struct
from collections.abc import Sequence

_HEADER = "<16sHHIQQQIHHHHHH"
_SECTION = "<IIQQQQIIQQ"
_SYMBOL = "<IBBHQQ"


def stub_module(name: str, exported: str, needed: Sequence[str]) -> bytes:
    """The relocatable ELF file of a module that exports one symbol and needs others."""
    strings, symbols = b"\0", bytes(struct.calcsize(_SYMBOL))
    for symbol in needed:
        symbols += struct.pack(_SYMBOL, len(strings), 0x10, 0, 0, 0, 0)
        strings += symbol.encode() + b"\0"
    sections = [
        (b".modinfo", 1, f"name={name}\0license=GPL\0".encode(), 0, 0, 0),
        (b"__ksymtab_strings", 1, exported.encode() + b"\0", 0, 0, 0),
        (b".symtab", 2, symbols, 4, 1, struct.calcsize(_SYMBOL)),
        (b".strtab", 3, strings, 0, 0, 0),
    ]
    names = b"\0" + b"".join(each[0] + b"\0" for each in sections) + b".shstrtab\0"
    sections.append((b".shstrtab", 3, names, 0, 0, 0))
    at, content, table = struct.calcsize(_HEADER), b"", bytes(struct.calcsize(_SECTION))
    for title, kind, data, link, info, entry in sections:
        place = names.index(b"\0" + title + b"\0") + 1
        table += struct.pack(_SECTION, place, kind, 0, 0, at + len(content), len(data), link, info, 1, entry)
        content += data
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack(
        _HEADER, identity, 1, 62, 1, 0, 0, at + len(content), 0, 64, 0, 0, 64, len(sections) + 1, len(sections)
    )
    return head + content + table
