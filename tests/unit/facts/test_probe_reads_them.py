"""The probe reads what the facts ask for, and nothing beside it of files that may hold secrets."""

import subprocess
from pathlib import Path

from nested_kvm.evidence.probe import probe_script
from nested_kvm.facts.kernel.mitigations import DIRECTORY, FROM_GUESTS
from nested_kvm.facts.kvm.device_access import GETFACL
from nested_kvm.facts.kvm.hypervisors import SOURCE
from nested_kvm.facts.libvirt.capabilities_cache import DIRECTORY as LIBVIRTS_MEMORY
from nested_kvm.facts.libvirt.host_shutdown import QEMU_CONF, UNIT, UNIT_FILES
from nested_kvm.facts.modprobe.boot_cmdline import ENTRIES, GRUB, GRUB_D, GRUBENV, KERNEL_INSTALL

PROBE = probe_script()
OF_ACCOUNTS = [GETFACL, "id", "/proc/sys/kernel/version", LIBVIRTS_MEMORY]
VULNERABILITIES = [f"{DIRECTORY}/{name}" for name in FROM_GUESTS]
NEEDED = {
    UNIT,
    *UNIT_FILES,
    QEMU_CONF,
    SOURCE,
    GRUB,
    GRUB_D,
    KERNEL_INSTALL,
    ENTRIES,
    GRUBENV,
    *VULNERABILITIES,
    *OF_ACCOUNTS,
}


def answer(script: str, *arguments: str) -> str:
    done = subprocess.run(["sh", "-s", "--", *arguments], input=script, capture_output=True, text=True, check=True)
    return done.stdout


def settings(pattern: str, path: Path) -> list[str]:
    functions = PROBE.rpartition("main ")[0]
    return answer(f'{functions}\nnonce=N; settings "$1" "$2"; print_said', pattern, str(path)).split("\n")


def test_the_probe_looks_at_all_that_the_facts_need() -> None:
    begun = {line.removeprefix("@N begin ") for line in answer(PROBE, "N", "5").splitlines()}
    assert begun >= NEEDED


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
