"""What stands in modprobe.d is told as what it is, and never waited for."""

import os
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading, Status
from tests.integration.probe.probing import NOBODY, NONCE, Probing, each_shell, kmods_shells

pytestmark = pytest.mark.needs("accounts", "setpriv")
PLACE = "/etc/modprobe.d"
AS_THEY_ARE = {
    "every-byte.conf": bytes(range(1, 256)),
    "every-byte-and-nul.conf": bytes(range(256)) + b"\n",
    "nul.conf": b"\0",
    "nul-behind.conf": b"options kvm_amd nested=1\n\0",
    "newline.conf": b"\n",
    "newlines.conf": b"\n\n\n",
    "backslashes.conf": b"  a\\\nb\\n %s %d\t\n",
    "hardly-small.conf": b"# abcdefghijklmnopq\n" * 100,
    "hardly-large.conf": b"# abcdefghijklmnopq\n" * 100 + b"x",
    "large.conf": b"# a comment\n" * 2000,
    "[g]*?.conf": b"glob\n",
    "12 a.conf": b"a size in front of a name\n",
}
FORGED = "@x begin /proc/cpuinfo\nflags : svm\n@x end ok\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "modprobe.d"
    made.mkdir()
    (made / "plain.conf").write_text("options kvm_amd nested=1\n")
    (made / "sp ace.conf").write_text("# no line break at the end")
    (made / "line\nbreak.conf").write_text("options kvm_amd nested=0\n")
    (made / ".hidden.conf").write_text("hidden\n")
    (made / "-n.conf").write_text("a dash\n")
    (made / "forged.conf").write_text(FORGED)
    (made / "binary.conf").write_bytes(b"\xff\xfe\x00end\n")
    (made / "windows.conf").write_bytes(b"# nested\r\noptions kvm_amd nested=1\r\n")
    (made / "marked.conf").write_bytes(b"\xef\xbb\xbfoptions\tkvm_amd\tnested=1")
    (made / "latin.conf").write_bytes(b"# f\xfcr G\xe4ste\noptions kvm_amd nested='1' # on\n")
    for name, content in AS_THEY_ARE.items():
        (made / name).write_bytes(content)
    (made / "empty.conf").touch()
    (made / "secret.conf").write_text("options kvm_amd nested=0\n")
    (made / "secret.conf").chmod(0o600)
    (made / "directory.conf").mkdir()
    (made / "dangling.conf").symlink_to("nowhere")
    (made / "null.conf").symlink_to("/dev/null")
    (made / "link.conf").symlink_to("plain.conf")
    return made


def look(folder: Path, shell: str = "sh", *within: str) -> dict[str, Reading]:
    probed = Probing(shell, ("2", "never"), mounts={folder: PLACE}, within=within).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    return probed.answer.readings


@each_shell
def test_every_file_is_told_as_what_it_is(folder: Path, shell: str) -> None:
    readings = look(folder, shell)
    assert {
        source: (each.status, each.text, each.link) for source, each in readings.items() if f"{PLACE}/" in source
    } == {
        f"{PLACE}/plain.conf": (Status.OK, "options kvm_amd nested=1", None),
        f"{PLACE}/sp ace.conf": (Status.OK, "# no line break at the end", None),
        f"{PLACE}/.hidden.conf": (Status.OK, "hidden", None),
        f"{PLACE}/-n.conf": (Status.OK, "a dash", None),
        f"{PLACE}/forged.conf": (Status.OK, FORGED.removesuffix("\n"), None),
        f"{PLACE}/binary.conf": (Status.OK, "\ufffd\ufffd\0end", None),
        f"{PLACE}/windows.conf": (Status.OK, "# nested\r\noptions kvm_amd nested=1\r", None),
        f"{PLACE}/marked.conf": (Status.OK, "\ufeffoptions\tkvm_amd\tnested=1", None),
        f"{PLACE}/latin.conf": (Status.OK, "# f\ufffdr G\ufffdste\noptions kvm_amd nested='1' # on", None),
        **{
            f"{PLACE}/{name}": (Status.OK, content.decode(errors="replace").removesuffix("\n"), None)
            for name, content in AS_THEY_ARE.items()
        },
        f"{PLACE}/empty.conf": (Status.OK, "", None),
        f"{PLACE}/secret.conf": (Status.OK, "options kvm_amd nested=0", None),
        f"{PLACE}/directory.conf": (Status.DIRECTORY, "", None),
        f"{PLACE}/dangling.conf": (Status.DANGLING, "", "nowhere"),
        f"{PLACE}/null.conf": (Status.DEVICE, "", "/dev/null"),
        f"{PLACE}/link.conf": (Status.OK, "options kvm_amd nested=1", "plain.conf"),
    }


@each_shell
def test_files_without_a_nul_are_told_as_they_are(shell: str, tmp_path: Path) -> None:
    made = tmp_path / "plain"
    made.mkdir()
    contents = {name: content for name, content in AS_THEY_ARE.items() if b"\0" not in content}
    contents |= {"empty.conf": b"", "unended.conf": b"a\nb", "forged.conf": FORGED.encode(), "a=b.conf": b"c\n"}
    for name, content in contents.items():
        (made / name).write_bytes(content)
    readings = look(made, shell)
    told = {source: each.text for source, each in readings.items() if source.startswith(f"{PLACE}/")}
    assert told == {
        f"{PLACE}/{name}": content.decode(errors="replace").removesuffix("\n") for name, content in contents.items()
    }


@each_shell
def test_a_folder_that_is_a_link_is_shown_with_what_it_leads_to(shell: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/kvm.conf").write_text("options kvm_amd nested=0\n")
    (tmp_path / "modprobe.d").symlink_to("real")
    probed = Probing(shell, ("2", "never"), mounts={tmp_path: "/usr/local/lib"}).run()
    listing = probed.answer.readings["/usr/local/lib/modprobe.d"]
    assert (listing.status, listing.text, listing.link) == (Status.OK, "kvm.conf", "real")


@kmods_shells
@pytest.mark.parametrize("hidden", [("awk",), ("wc",), ("awk", "wc")])
def test_without_what_reads_many_files_each_is_read_alone(folder: Path, shell: str, hidden: tuple[str, ...]) -> None:
    (folder / "very-large.conf").write_bytes(b"# abcdefgh\n" * 20_000)
    probed = Probing(shell, ("2", "never"), mounts={folder: PLACE}, hidden=hidden).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    steady = ("/etc", "/proc/self", "/proc/sys", "/proc/cmdline", "/proc/cpuinfo")
    with_them = {source: each for source, each in look(folder, shell).items() if source.startswith(steady)}
    assert {source: probed.answer.readings[source] for source in with_them} == with_them
    assert f"{PLACE}/plain.conf" in with_them


def test_the_directory_lists_every_name_that_anything_reads(folder: Path) -> None:
    listed = look(folder)[PLACE].text.splitlines()
    assert sorted(listed) == sorted(path.name.replace("\n", "?") for path in folder.iterdir())


@each_shell
def test_what_a_plain_user_may_not_read_is_unreadable(folder: Path, shell: str) -> None:
    readings = look(folder, shell, *NOBODY)
    assert readings[f"{PLACE}/secret.conf"].status is Status.UNREADABLE
    assert readings[f"{PLACE}/plain.conf"].is_ok


def test_a_directory_that_may_not_be_listed_is_not_an_empty_one(folder: Path) -> None:
    folder.chmod(0o700)
    readings = look(folder, "sh", *NOBODY)
    assert readings[PLACE].status is Status.UNREADABLE
    assert not [source for source in readings if source.startswith(f"{PLACE}/")]


def test_what_lies_in_a_closed_directory_is_unreadable_and_not_absent(tmp_path: Path) -> None:
    closed = tmp_path / "etc"
    closed.mkdir(mode=0o700)
    probed = Probing("sh", ("2", "never"), mounts={closed: "/etc"}, within=NOBODY).run()
    assert probed.answer.readings[PLACE].status is Status.UNREADABLE
    assert probed.answer.readings["/etc/default/grub"].status is Status.UNREADABLE
    as_root = Probing("sh", ("2", "never"), mounts={closed: "/etc"}).run()
    assert as_root.answer.readings[PLACE].status is Status.ABSENT


@pytest.mark.needs("kmod")
def test_a_fifo_is_not_opened_and_costs_only_what_kmod_makes_of_it(folder: Path) -> None:
    os.mkfifo(folder / "fifo.conf")
    readings = look(folder)
    assert readings[f"{PLACE}/fifo.conf"].status is Status.SPECIAL
    waiting = {source for source, reading in readings.items() if reading.status is Status.TIMED_OUT}
    assert all(source.startswith(("modprobe --show-depends", "modinfo")) for source in waiting)
    assert "dmesg" in readings


def test_the_nonce_is_the_callers(folder: Path) -> None:
    assert NONCE not in "".join(reading.text for reading in look(folder).values())


@each_shell
def test_a_name_with_a_line_break_is_listed_and_its_file_is_not_read(folder: Path, shell: str) -> None:
    readings = look(folder, shell)
    assert "line?break.conf" in readings[PLACE].text.split("\n")
    assert not [source for source in readings if "break.conf" in source]
