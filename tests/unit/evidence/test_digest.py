"""What the digest's script printed becomes a digest only where it shows every change."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from nested_kvm.connection import Settings
from nested_kvm.errors import NotObserved
from nested_kvm.evidence.digest import BLIND, FILES, TOOL, digest_of
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.results.incremental import TargetDigest

TARGET = Target("kvm-a", TargetLevel.L0, Address.parse("ssh://kvm-a"), Policy())
BOOT_ID = "/proc/sys/kernel/random/boot_id:792e8b6b-9335-4ce6-a871-ad90dfacf56a"
OLD, NOW = 1_796_000_000, 1_796_000_100


def line(path: str, changed: int = OLD) -> str:
    return f"{changed} 1670630544 178448 65024 2171969 81ed 0 0 2026-11-30 06:49:58.559575789 +0000 {path}"


CLOCK = line("/proc/self/stat", NOW)


def texts(*files: str, **parts: str) -> dict[str, str]:
    return {
        "boot": BOOT_ID,
        "KVM": BOOT_ID,
        "processes": "",
        "mounts and sockets": "/proc/self/mounts:/dev/vda / ext4 rw 0 0",
        "accounts": "uid=0(root) gid=0(root) groups=0(root)",
        FILES: "\n".join([CLOCK, *files, line("/")]),
        "links and namespaces": "'/proc/self/ns/pid' -> 'pid:[4026531836]'",
        "kernel log": "kvm 0",
        BLIND: "",
        **parts,
    }


def digest(parts: Mapping[str, str], target: Target = TARGET, settings: Settings | None = None) -> TargetDigest:
    readings = {name: Reading(name, Status.OK, text) for name, text in parts.items()}
    return digest_of(readings, target, settings or Settings())


def test_the_same_readings_at_another_time_are_the_same_digest() -> None:
    later = texts(line("/etc/modprobe.d/a b.conf"))
    later[FILES] = later[FILES].replace(str(NOW), str(NOW + 1000), 1)
    assert digest(later).differences(digest(texts(line("/etc/modprobe.d/a b.conf")))) == []


@pytest.mark.parametrize("part", sorted(texts().keys() - {BLIND}))
def test_each_part_counts(part: str) -> None:
    changed = texts()
    changed[part] = f"{CLOCK}\n{line('/other')}\n{line('/')}" if part == FILES else f"{changed[part]}\nkvm 0"
    assert digest(changed).differences(digest(texts())) == [part]


@pytest.mark.parametrize(
    "target",
    [
        replace(TARGET, name="kvm-b"),
        replace(TARGET, level=TargetLevel.L1),
        replace(TARGET, address=Address.parse("ssh://kvm-a:23")),
        replace(TARGET, host="kvm-b"),
        replace(TARGET, domain="ci-1"),
        replace(TARGET, via_host=True),
        replace(TARGET, libvirt="qemu:///system"),
        replace(TARGET, account="ci"),
    ],
)
def test_what_the_inventory_says_of_how_it_is_read_counts(target: Target) -> None:
    assert digest(texts(), target).differences(digest(texts())) == [TOOL]


def test_sudo_counts_and_the_policy_does_not() -> None:
    assert digest(texts(), settings=Settings(sudo=True)).differences(digest(texts())) == [TOOL]
    assert digest(texts(), replace(TARGET, policy=Policy(nested=Nested.FORBIDDEN))) == digest(texts())


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("boot", "grep: not found"),
        ("boot", "/proc/sys/kernel/random/boot_id:"),
        ("KVM", ""),
        ("accounts", "sh: id: not found"),
        (FILES, ""),
        (FILES, line("/")),
        (FILES, "stat: cannot statx '/proc/self/stat'\n" + line("/")),
        (FILES, f"{CLOCK}\nstat: unrecognized option: c"),
        (FILES, f"{CLOCK}\n{line('/etc')}"),
        ("links and namespaces", "stat: not found"),
        ("kernel log", ""),
        ("processes", "Binary file /proc/1/stat matches"),
    ],
)
def test_what_no_program_read_is_never_the_same_as_before(part: str, text: str) -> None:
    with pytest.raises(NotObserved):
        digest({**texts(), part: text})


@pytest.mark.parametrize("part", sorted(texts()))
def test_a_part_that_is_missing_is_never_the_same_as_before(part: str) -> None:
    with pytest.raises(NotObserved, match=f"lacks {part}"):
        digest({name: text for name, text in texts().items() if name != part})


def test_what_the_script_could_not_see_is_said() -> None:
    with pytest.raises(NotObserved, match="may not list /etc/libvirt/qemu"):
        digest(texts(**{BLIND: "this account may not list /etc/libvirt/qemu"}))


@pytest.mark.parametrize(("changed", "is_fresh"), [(NOW - 4, False), (NOW - 3, True), (NOW, True), (NOW + 99, True)])
def test_a_file_that_may_change_once_more_with_the_same_times_gives_none(changed: int, is_fresh: bool) -> None:  # noqa: FBT001 - a column of the table above
    found = texts(line("/etc/a/b c.conf", changed))
    if not is_fresh:
        digest(found)
        return
    with pytest.raises(NotObserved, match=r"^/etc/a/b c\.conf had just changed"):
        digest(found)


def test_digests_with_other_parts_differ_in_these() -> None:
    """Of another version, say."""
    assert TargetDigest({"a": "1", "b": "2"}).differences(TargetDigest({"b": "2", "c": "3"})) == ["a", "c"]
    assert TargetDigest({}).differences(TargetDigest({"a": "1"})) == ["a"]
