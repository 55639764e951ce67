"""The probe writes nothing: it redirects to nowhere but the null device, and calls no program that writes."""

import re

from nested_kvm.evidence.probe import readable_probe

LINES = readable_probe().splitlines()
CODE = "\n".join(line.partition(" # ")[0] for line in LINES if not line.lstrip().startswith("#"))
WRITERS = {
    "tee",
    "touch",
    "mktemp",
    "mkdir",
    "rm",
    "mv",
    "cp",
    "dd",
    "ln",
    "install",
    "sed",
    "sysctl",
    "insmod",
    "rmmod",
}


def test_it_redirects_to_the_null_device_only() -> None:
    programs = re.findall(r"^(?:about_kvm|as_frames|groups)='[^']*'$", CODE, re.MULTILINE)
    assert len(programs) == len(re.findall(r"\bawk (?:-v )?\"", CODE)) > 0
    rest = CODE
    for program in programs:
        assert not re.search(r"print[^\n;}]*[>|]|\bsystem\b", program), "awk writes to standard output only"
        rest = rest.replace(program, "")
    without_tags = re.sub(r"</?\(?[A-Za-z|]+\)?(?: name='\w+')?/?>", "", rest)
    targets = re.findall(r"(?<![-^])>+\s*([^\s;})]+)", without_tags)
    assert set(targets) == {"/dev/null", "&1"}


def test_it_calls_no_program_that_writes() -> None:
    words = set(re.findall(r"[a-z_]+", CODE))
    assert {"cat", "grep", "modprobe", "virsh"} <= words
    assert words & WRITERS == set()


def test_modprobe_is_only_asked() -> None:
    assert set(re.findall(r"\bmodprobe (-[a-z-]+)", CODE)) == {"--version", "--show-depends"}
    assert set(re.findall(r"\bvirsh (\S+)", CODE)) == {"-r"}
