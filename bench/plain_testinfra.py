"""The audit's questions as a person writes them with Testinfra alone: one host's file, module and command at a time.

Its name keeps it out of every collection: the bench copies it to where it runs.
"""

import re
from collections.abc import Iterator
from typing import Any

Host = Any
"""Testinfra's own: it makes its modules' names only as they are asked for, and so has no types for them."""

VENDOR_FLAG = "svm"
MODULE = "kvm_amd"
CONFIGURATION = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d")


def modprobe_lines(host: Host) -> Iterator[str]:
    """Read every line of modprobe's configuration."""
    for folder in CONFIGURATION:
        if host.file(folder).is_directory:
            for name in host.file(folder).listdir():
                yield from host.file(f"{folder}/{name}").content_string.splitlines()


def parameter(host: Host, name: str) -> str:
    """Read what the loaded module uses."""
    return str(host.file(f"/sys/module/{MODULE}/parameters/{name}").content_string).strip()


def test_every_cpu_shows_the_flag(host: Host) -> None:
    """The vendor's flag is in each CPU's list."""
    flags = re.findall(r"^flags\s*: (.*)$", host.file("/proc/cpuinfo").content_string, re.MULTILINE)
    assert flags
    assert all(VENDOR_FLAG in line.split() for line in flags)


def test_the_host_is_no_guest(host: Host) -> None:
    """No CPU shows that a hypervisor is below it."""
    assert not re.search(r"^flags.*\bhypervisor\b", host.file("/proc/cpuinfo").content_string, re.MULTILINE)


def test_the_module_is_loaded(host: Host) -> None:
    """The vendor's module is there."""
    assert host.file(f"/sys/module/{MODULE}").is_directory


def test_nested_is_on(host: Host) -> None:
    """The running module nests."""
    assert parameter(host, "nested") in {"1", "Y"}


def test_the_assists_are_on(host: Host) -> None:
    """Nested paging, virtual GIF and virtual VMLOAD are on."""
    assert [parameter(host, name) in {"1", "Y"} for name in ("npt", "vgif", "vls")] == [True] * 3


def test_the_device_is_there(host: Host) -> None:
    """/dev/kvm is a character device."""
    assert host.run("test -c /dev/kvm").succeeded


def test_the_device_is_open_to_its_group_only(host: Host) -> None:
    """Others may not open /dev/kvm."""
    device = host.file("/dev/kvm")
    assert device.user == "root"
    assert device.mode & 0o007 == 0


def test_the_next_load_has_nested_on(host: Host) -> None:
    """Modprobe would load it with nested=1."""
    assert "nested=1" in host.check_output(f"modprobe --show-depends {MODULE}")


def test_the_configuration_sets_nested(host: Host) -> None:
    """A line of modprobe.d says so."""
    assert any(re.match(rf"options\s+{MODULE}\s.*nested=1", line) for line in modprobe_lines(host))


def test_the_module_is_not_blacklisted(host: Host) -> None:
    """Nothing keeps the module from loading."""
    assert not any(re.match(rf"(blacklist|install)\s+{MODULE}\b", line) for line in modprobe_lines(host))


def test_the_parameter_exists(host: Host) -> None:
    """The module knows nested."""
    assert "nested" in host.check_output(f"modinfo --parameters {MODULE}")


def test_the_command_line_does_not_override(host: Host) -> None:
    """The kernel's command line says nothing of nested."""
    assert "nested=" not in host.file("/proc/cmdline").content_string


def test_the_next_command_line_does_not_override(host: Host) -> None:
    """Grub's says nothing of it either."""
    grub = host.file("/etc/default/grub")
    assert not grub.exists or "nested=" not in grub.content_string


def test_the_kernels_mitigations_are_on(host: Host) -> None:
    """What attacks from guests need is mitigated."""
    for name in ("itlb_multihit", "l1tf"):
        text = host.file(f"/sys/devices/system/cpu/vulnerabilities/{name}").content_string
        assert not text.startswith("Vulnerable")


def test_a_shutdown_saves_no_guest(host: Host) -> None:
    """libvirt-guests is off, or shuts guests down."""
    settings = host.file("/etc/default/libvirt-guests")
    suspends = not settings.exists or "ON_SHUTDOWN=shutdown" not in settings.content_string
    assert not host.service("libvirt-guests").is_enabled or not suspends
