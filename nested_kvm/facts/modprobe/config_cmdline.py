"""The kernel command line as kmod reads it: `kvm-amd.nested=0` is appended to the options in modprobe.d.

Source: `kmod_config_parse_kcmdline` and `kcmdline_parse_result` in kmod's libkmod/libkmod-config.c, the same in
versions 30 to 34. kmod's reading is not the kernel's own: it has no `--`, and quotes differently.
"""

import re
from collections.abc import Iterator

from nested_kvm.evidence import sources
from nested_kvm.facts.modprobe.config_line import Directive, ModprobeLine, with_underscores

_BUFFER = 4095  # bytes that kmod reads of the command line
# White space ends a word where no quote is open; the alternatives exclude each other, so time stays linear.
_WORD = re.compile(r'(?:[^ \t\n\v\f\r"]+|"[^"]*(?:"|\Z))+')
_ENTRY = re.compile(r'(?P<module>[^."=\s]*)\.(?P<parameter>[^."=\s]*)(?P<value>=.*)?', re.DOTALL | re.ASCII)


def parse_cmdline(cmdline: str) -> Iterator[ModprobeLine]:
    """Yield an `options` or `blacklist` line for each word that kmod reads as one; their line number is 0.

    Sample: `BOOT_IMAGE=/vmlinuz ro kvm-amd.nested=0 modprobe.blacklist=kvm_intel`
    """
    visible = cmdline.encode(errors="replace")[:_BUFFER].decode(errors="replace").partition("\0")[0]
    for found in _WORD.finditer(visible):
        # An open quote at the end never lets the word come to its end.
        if found[0].count('"') % 2 == 0:
            yield from _entry(found[0])


def _entry(word: str) -> Iterator[ModprobeLine]:
    quoted = word.startswith('"')
    entry = _ENTRY.fullmatch(word[1:] if quoted else word)
    if entry is None or (quoted and entry["value"] is None):
        return
    value = entry["value"] or ""
    if entry["module"] == "modprobe" and f"{entry['parameter']}{value}".startswith("blacklist="):
        for name in (f'"{value[1:]}' if quoted else value[1:]).split(","):
            yield ModprobeLine(sources.CMDLINE, 0, word, Directive.BLACKLIST, name)
        return
    subject = with_underscores(entry["module"])
    if subject is not None:
        # kmod moves an opening quote from the front of the word to the front of the value.
        argument = entry["parameter"] + (f'="{value[1:]}' if quoted else value)
        yield ModprobeLine(sources.CMDLINE, 0, word, Directive.OPTIONS, subject, argument.replace("\t", " "))
