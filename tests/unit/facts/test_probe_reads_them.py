"""The probe reads what the facts ask for, and nothing beside it of files that may hold secrets."""

import inspect
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from nested_kvm.evidence import sources
from nested_kvm.evidence.probe import probe_script, readable_probe
from nested_kvm.facts.kernel.mitigations import FROM_GUESTS

PROBE = probe_script()
NOT_ASKED_HERE = {sources.AGAIN, sources.ACCOUNT_NUMBER, sources.FIRST_THREAD}
"""The end of a name, what earlier probes printed, and what only support archives show."""
WHERE_THEY_EXIST = {
    *sources.GRUB_CFGS,
    *sources.ESP_ENTRIES,
    *sources.CHANGELOGS,
    sources.LIVE_PATCHES,
    sources.CLOUD_HYPERVISOR,
}
PARENTS = {sources.DMI: "sys_vendor", sources.VULNERABILITIES: FROM_GUESTS[0]}
"""Directories of which the probe prints some files, and one of those."""


def named_sources() -> Iterator[str]:
    for name, value in vars(sources).items():
        if name.isupper():
            yield from [value] if isinstance(value, str) else value


def functions() -> Iterator[Callable[[str], str]]:
    for each in vars(sources).values():
        if inspect.isfunction(each) and inspect.signature(each).parameters:
            yield each


def answer(script: str, *arguments: str) -> str:
    done = subprocess.run(["sh", "-s", "--", *arguments], input=script, capture_output=True, text=True, check=True)
    return done.stdout


def settings(pattern: str, path: Path) -> list[str]:
    functions = readable_probe().rpartition("main ")[0]
    return answer(f'{functions}\nnonce=N; settings_in "$1" "$2"; print_said', pattern, str(path)).split("\n")


def test_the_probe_prints_every_source_that_is_named() -> None:
    begun = {line.removeprefix("@N begin ") for line in answer(PROBE, "N", "5").splitlines()}
    named = {f"{each}/{PARENTS[each]}" if each in PARENTS else each for each in named_sources()}
    assert named - NOT_ASKED_HERE - WHERE_THEY_EXIST - begun == set()
    assert "/boot/grub*/grub.cfg" in PROBE
    assert 'esps="/boot /efi /boot/efi"'.replace('"', "'") in PROBE
    assert begun >= {f"{sources.VULNERABILITIES}/{name}" for name in FROM_GUESTS}


def test_the_probe_asks_every_question_that_is_named() -> None:
    assert [each("NAME") for each in functions() if each("NAME").removesuffix("NAME") not in PROBE] == []


def test_of_a_file_with_secrets_only_the_settings_are_read(tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text('vnc_password = "secret"\nauto_shutdown_try_save = "all"\n')
    lines = settings("^[[:blank:]]*auto_shutdown_", conf)
    assert lines == [f"@N begin {conf}", 'auto_shutdown_try_save = "all"', "", "@N end ok", ""]


def test_a_file_without_the_setting_was_read_all_the_same(tmp_path: Path) -> None:
    conf = tmp_path / "empty"
    conf.touch()
    assert "@N end ok" in settings("ON_SHUTDOWN=", conf)[2]


def test_a_file_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert "@N end absent" in settings("ON_SHUTDOWN=", tmp_path / "none")[2]
