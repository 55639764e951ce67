import time
from collections.abc import Mapping

import pytest

from nested_kvm.evidence.reading import Evidence, Reading, Status
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.config_file import FileState
from nested_kvm.facts.modprobe.config_line import Directive, Flaw
from nested_kvm.facts.modprobe.kmod import Kmod

DEBIAN_12 = Kmod(30)
ETC = "/etc/modprobe.d"

CPU_SECONDS = 20
"""Far above what linear time takes, and far below what quadratic time would."""


def readings(files: Mapping[str, str | Status]) -> dict[str, Reading]:
    """Make the readings of a machine whose directories hold these files."""
    names: dict[str, list[str]] = {path: [] for path in Kmod().directories}
    made = {"/lib": Reading("/lib", Status.DIRECTORY)}
    for path, content in files.items():
        directory, _, name = path.rpartition("/")
        names[directory].append(name)
        status, text = (Status.OK, content) if not isinstance(content, Status) else (content, "")
        made[path] = Reading(path, status, text)
    listings = {path: Reading(path, Status.OK, "".join(f"{n}\n" for n in held)) for path, held in names.items()}
    return made | listings


def parsed(files: Mapping[str, str | Status], cmdline: str = "", kmod: Kmod = DEBIAN_12) -> ModprobeConfiguration:
    return ModprobeConfiguration.parse(readings(files), cmdline, kmod)


def states(configuration: ModprobeConfiguration) -> dict[str, FileState]:
    return {file.path: file.state for file in configuration.files}


def test_files_are_sorted_by_name_across_directories() -> None:
    late, early = "/lib/modprobe.d/99-x.conf", f"{ETC}/10-y.conf"
    configuration = parsed({late: "options kvm_amd nested=0\n", early: "options kvm-amd nested=1\n"})
    options = configuration.options_for("kvm_amd")
    assert options.text == "nested=1 nested=0"
    assert options.line_at(10).evidence == Evidence(f"{late}:1", "options kvm_amd nested=0")


def test_a_higher_directory_hides_a_name() -> None:
    mine, theirs = f"{ETC}/kvm.conf", "/lib/modprobe.d/kvm.conf"
    configuration = parsed({theirs: "options kvm_amd nested=0\n", mine: Status.DEVICE})
    masked = next(file for file in configuration.files if file.path == theirs)
    assert (masked.state, masked.masked_by) == (FileState.MASKED, mine)
    assert configuration.options_for("kvm_amd").text == ""
    assert [line.flaw for line in configuration.dead_lines("nested")] == [Flaw.FILE_NOT_READ]


@pytest.mark.parametrize(
    ("version", "state", "options"), [(30, FileState.MASKED, ""), (34, FileState.READ, "nested=1")]
)
def test_a_dangling_link_hides_a_name_before_kmod_34(version: int, state: FileState, options: str) -> None:
    theirs = "/lib/modprobe.d/kvm.conf"
    files = {f"{ETC}/kvm.conf": Status.DANGLING, theirs: "options kvm_amd nested=1\n"}
    configuration = parsed(files, kmod=Kmod(version))
    assert states(configuration)[theirs] is state
    assert configuration.options_for("kvm_amd").text == options


@pytest.mark.parametrize(
    ("path", "version", "state"),
    [
        (f"{ETC}/kvm.conf", 30, FileState.READ),
        (f"{ETC}/kvm.conf.bak", 30, FileState.WRONG_SUFFIX),
        (f"{ETC}/.kvm.conf", 30, FileState.HIDDEN),
        (f"{ETC}/kvm.alias", 32, FileState.READ),
        (f"{ETC}/kvm.alias", 33, FileState.WRONG_SUFFIX),
        ("/usr/local/lib/modprobe.d/kvm.conf", 28, FileState.NOT_SEARCHED),
        ("/usr/local/lib/modprobe.d/kvm.conf", 29, FileState.READ),
        ("/usr/lib/modprobe.d/kvm.conf", 31, FileState.NOT_SEARCHED),
        ("/usr/lib/modprobe.d/kvm.conf", 32, FileState.READ),
    ],
)
def test_what_is_read_depends_on_the_name_and_on_kmod(path: str, version: int, state: FileState) -> None:
    assert states(parsed({path: "options kvm_amd nested=1\n"}, kmod=Kmod(version)))[path] is state


@pytest.mark.parametrize(
    ("status", "state", "is_complete"),
    [
        (Status.DIRECTORY, FileState.DIRECTORY, True),
        (Status.SPECIAL, FileState.SPECIAL, True),
        (Status.UNREADABLE, FileState.UNREADABLE, False),
        (Status.TIMED_OUT, FileState.NOT_OBSERVED, False),
    ],
)
def test_what_is_not_a_plain_file(status: Status, state: FileState, *, is_complete: bool) -> None:
    configuration = parsed({f"{ETC}/x.conf": status})
    assert states(configuration)[f"{ETC}/x.conf"] is state
    assert configuration.is_complete is is_complete


@pytest.mark.parametrize("version", [30, 34])
def test_a_merged_usr_is_one_directory(version: int) -> None:
    line = "options kvm_amd nested=1\n"
    both = readings({"/lib/modprobe.d/a.conf": line, "/usr/lib/modprobe.d/a.conf": line})
    both["/lib"] = Reading("/lib", Status.DIRECTORY, link="usr/lib")
    configuration = ModprobeConfiguration.parse(both, "", Kmod(version))
    assert [file.state for file in configuration.files] == [FileState.READ]
    del both["/lib"]
    assert [file.state for file in ModprobeConfiguration.parse(both, "", Kmod(version)).files] == [FileState.READ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("options kvm_amd nested=1", "nested=1"),
        ("options kvm-amd nested=1\r\n", "nested=1\r"),
        ("  options\tkvm_amd\tnested=1\tnpt=1\n", "nested=1 npt=1"),
        ("options kvm_amd  nested=1\n", " nested=1"),
        ("options kvm_amd \\\n nested=1\n", " nested=1"),
        ("options kvm_amd nested=\\1\n", "nested=1"),
        ("options kvm_amd nested=1\\\\\nnpt=1\n", "nested=1\\"),
        ("options kvm_amd nested=1\\", "nested=1\N{REPLACEMENT CHARACTER}"),
        ("# kvm \\\noptions kvm_amd nested=1\n", ""),
        ("#options kvm_amd nested=1\n", ""),
        (" # options kvm_amd nested=1\n", ""),
        ("OPTIONS kvm_amd nested=1\n", ""),
        ("option kvm_amd nested=1\n", ""),
        ("\ufeffoptions kvm_amd nested=1\n", ""),
        ("options kvm_intel kvm_amd nested=1\n", ""),
        ("options kvm_amd\n", ""),
        ("options kvm_amd\0 nested=1\n", ""),
        ("options kvm[_amd nested=1\n", ""),
        ("options kvm_amd nested=1\noptions kvm_amd npt=0\n", "nested=1 npt=0"),
    ],
)
def test_what_a_line_gives_the_module(text: str, options: str) -> None:
    assert parsed({f"{ETC}/kvm.conf": text}).options_for("kvm-amd").text == options


@pytest.mark.parametrize(
    ("text", "number", "flaw"),
    [
        ("# kvm \\\noptions kvm_amd nested=1\n", 2, Flaw.SWALLOWED),
        ("\n\nOPTIONS kvm_amd nested=1\n", 3, Flaw.UNKNOWN_DIRECTIVE),
        ("\ufeffoptions kvm_amd nested=1\n", 1, Flaw.BYTE_ORDER_MARK),
        ("options kvm_intel kvm_amd nested=1\n", 1, Flaw.SECOND_MODULE),
        ("options nested=1\n", 1, Flaw.INCOMPLETE),
        ("options kvm_amd npt=1\0 nested=1\n", 1, Flaw.CUT),
        ("options kvm[_amd nested=1\n", 1, Flaw.BRACKET),
        ("include nested\n", 1, Flaw.NO_LONGER_READ),
    ],
)
def test_a_dead_line_says_why(text: str, number: int, flaw: Flaw) -> None:
    (line,) = parsed({f"{ETC}/kvm.conf": text}).dead_lines("nested")
    assert (line.number, line.flaw, line.source) == (number, flaw, f"{ETC}/kvm.conf:{number}")


def test_a_comment_is_not_a_dead_line() -> None:
    configuration = parsed({f"{ETC}/kvm.conf": "#options kvm_amd nested=1\n"})
    assert configuration.dead_lines("nested") == ()
    assert [line.flaw for line in configuration.lines] == [Flaw.COMMENT]


def test_the_second_module_of_a_line_gets_nothing() -> None:
    configuration = parsed({f"{ETC}/kvm.conf": "options kvm-intel kvm-amd nested=1\n"})
    (line,) = configuration.dead_lines("nested")
    assert line.flaw is Flaw.SECOND_MODULE
    assert configuration.options_for("kvm_intel").text == "kvm-amd nested=1"


@pytest.mark.parametrize(
    ("cmdline", "options"),
    [
        ("quiet kvm-amd.nested=0\n", "nested=0"),
        ("kvm_amd.nested", "nested"),
        ('"kvm_amd.nested=0 1" x', 'nested="0 1"'),
        ('kvm_amd.nested="0 1"', 'nested="0 1"'),
        ("kvm_amd.nested.x=0", ""),
        ('"kvm_amd.nested"', ""),
        ('kvm_amd.nested="0', ""),
        ("-- kvm_amd.nested=0", "nested=0"),
        ("x" * 4094 + " kvm_amd.nested=0", ""),
    ],
)
def test_the_command_line_is_appended(cmdline: str, options: str) -> None:
    found = parsed({}, cmdline).options_for("kvm_amd")
    assert found.text == options
    assert all(line.source == "/proc/cmdline" for line in found.lines)


def test_the_first_install_line_that_matches_counts() -> None:
    text = "install kvm_intel /bin/false\ninstall kvm[-_]* /bin/true\ninstall kvm_amd /bin/echo\n"
    line = parsed({f"{ETC}/kvm.conf": text}).install_for("kvm-amd")
    assert line is not None
    assert (line.argument, line.source) == ("/bin/true", f"{ETC}/kvm.conf:2")


def test_blacklists_come_from_files_and_from_the_command_line() -> None:
    configuration = parsed(
        {f"{ETC}/kvm.conf": "blacklist kvm-amd\n"}, "modprobe.blacklist=x,kvm_amd modprobe.blacklist=kvm-amd"
    )
    assert [line.source for line in configuration.blacklisting("kvm_amd")] == [f"{ETC}/kvm.conf:1", "/proc/cmdline"]


def test_an_alias_redirects_a_name() -> None:
    configuration = parsed({f"{ETC}/kvm.conf": "alias kvm-am? off\nalias kvm_intel off\n"})
    assert [line.argument for line in configuration.aliases_of("kvm_amd")] == ["off"]
    assert [line.subject for line in configuration.obeyed(Directive.ALIAS)] == ["kvm_am?", "kvm_intel"]


def test_directories_that_were_not_listed_are_named() -> None:
    configuration = ModprobeConfiguration.parse({ETC: Reading(ETC, Status.UNREADABLE)}, "", DEBIAN_12)
    assert configuration.unreadable == (ETC,)
    assert configuration.unseen == ("/run/modprobe.d", "/usr/local/lib/modprobe.d", "/lib/modprobe.d")
    assert not configuration.is_complete


@pytest.mark.parametrize(
    ("text", "version"),
    [("kmod version 30\n+ZSTD +XZ\n", 30), ("kmod version 34.2", 34), ("module-init-tools version 3.1", None)],
)
def test_the_version_of_kmod(text: str, version: int | None) -> None:
    assert Kmod.parse(text).version == version


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "\\\n" * 500_000,
        "#\\\n" * 300_000,
        "[" * 1_000_000,
        "options " + "[" * 1_000_000 + " x",
        "install " + "[[:alpha:]" * 100_000 + "] x",
        "options kvm_amd " + "\\" * 1_000_000,
        "\0" * 1_000_000,
    ],
)
def test_hostile_files_take_no_time(text: str) -> None:
    start = time.process_time()
    configuration = parsed({f"{ETC}/x.conf": text}, cmdline=text)
    configuration.install_for("kvm_amd")
    assert time.process_time() - start < CPU_SECONDS
