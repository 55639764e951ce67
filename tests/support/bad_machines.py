"""Machines that must not pass, one fault each, and the control that has to notice it.

Each is a scenario that differs from a base which passes behind a gate.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.inventory.load import load_inventory
from tests.support.scenario import Scenario
from tests.support.scenario_fleet import bundles, inventory

NAME: Final = "it"
ANY_AGE: Final = "--max-age=36500d"
_LIST: Final = "virsh -r -c qemu:///system list --all --uuid"
_REFUSED: Final = {_LIST: {"status": "failed", "exit": 1, "text": "error: failed to connect to the hypervisor"}}
_GRUB: Final = "/etc/default/grub"
_PROCESSES, _HOLDERS, _DEBUGFS = "/proc/[0-9]*/cmdline", "ls -lq /proc/[0-9]*/fd", "/sys/kernel/debug/kvm"
_PASSTHROUGH: Final = "<cpu mode='host-passthrough'/>"
_FORBIDDEN: Final = {"nested": "forbidden", "undeclared": "forbidden"}
_OFF: Final[dict[str, Any]] = {
    "readings": {"/sys/module/kvm_amd/parameters": "nested=0\nnpt=Y\nvgif=Y\nvls=Y"},
    "modprobe.d": {"/etc/modprobe.d/kvm.conf": "options kvm_amd nested=0"},
    "kmod gives": "nested=0",
}


@dataclass(frozen=True)
class BadMachine:
    """A machine with one fault. `control` notices it, on `subject` (empty: the machine itself)."""

    control: str
    changes: Mapping[str, Any]
    base: str = "amd-l0"
    subject: str = ""
    words: tuple[str, ...] = ()
    outcomes: frozenset[str] = field(default_factory=lambda: frozenset({"fail", "unknown", "error"}))

    def write(self, folder: Path) -> list[str]:
        """Write its inventory and evidence, and return the words of the command line that evaluates them."""
        given = {"about": "one fault", "source": "constructed", "base": self.base, "expect": {}, **self.changes}
        cases = {NAME: Scenario.model_validate(given)}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "inventory.yaml"
        file.write_text(json.dumps(inventory(cases)))
        (folder / "evidence").mkdir(exist_ok=True)
        for bundle in bundles(load_inventory(file), cases):
            write_bundle(folder / "evidence", bundle)
        return [f"--inventory={file}", f"--evidence={folder}/evidence", *self.words]


def _domain(inactive: str, live: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "domains": {"ci-1": {"declared": {}, "inactive": inactive, "live": live, "expect": ["pass"] * 3, **more}},
    }


def _grub(line: str) -> dict[str, Any]:
    return {"readings": {_GRUB: line}}


def _options(line: str, gives: str = "nested=1") -> dict[str, Any]:
    return {"modprobe.d": {"/etc/modprobe.d/kvm.conf": line}, "kmod gives": gives}


def _past_libvirt(*words: str) -> str:
    given = "".join(f"<qemu:arg value='{word}'/>" for word in words)
    return f"{_PASSTHROUGH}<qemu:commandline>{given}</qemu:commandline>"


def _process(pid: int, *lines: str) -> str:
    return "\n".join(f"{pid} {line}" for line in ("program=qemu-system-x86_64", *lines))


_DEPENDS: Final = "modprobe --show-depends kvm_amd"
_KO: Final = "insmod /lib/modules/6.1.0-56-cloud-amd64/kernel"
_INFO: Final = {
    "modinfo of every module": "name:           ccp\nparm:           psp_timeout: (int)\n\n"
    "name:           kvm\ndepends:        irqbypass\nparm:           ignore_msrs: (bool)\n\n"
    "name:           kvm_amd\ndepends:        kvm,ccp\nparm:           nested: (int)"
}
MACHINES: Final[Mapping[str, BadMachine]] = {
    "an L2 may run where libvirt refuses": BadMachine(
        "DOM-OPS-01", {"readings": _REFUSED, **_domain(_PASSTHROUGH)}, subject="ci-1", words=("-m", "maintenance")
    ),
    "nothing is known of the domains before maintenance": BadMachine(
        "DOM-OPS-01", {"readings": _REFUSED}, words=("-m", "maintenance")
    ),
    "an L2 runs in a QEMU beside libvirt": BadMachine(
        "DOM-OPS-01",
        {
            "readings": {
                _PROCESSES: _process(7, "name=beside", "cpu=host"),
                _HOLDERS: "7",
                _DEBUGFS: "7-9/nested_run=5000\n7-9/vcpu0/guest_mode=1",
            }
        },
        subject="beside",
        words=("-m", "maintenance"),
    ),
    "an L2 may run under VirtualBox in a guest": BadMachine(
        "L1-OPS-01", {"readings": {"/sys/module": "kvm\nkvm_amd\nvboxdrv"}}, base="amd-l1", words=("-m", "maintenance")
    ),
    "nrips takes a number": BadMachine("L0-PER-01", _options("options kvm_amd nested=1 nrips=Y", "nested=1 nrips=Y")),
    "vgif takes a number": BadMachine("L0-PER-01", _options("options kvm_amd nested=1 vgif=Y", "nested=1 vgif=Y")),
    "npt is maybe": BadMachine("L0-PER-01", _options("options kvm_amd nested=1 npt=maybe", "nested=1 npt=maybe")),
    "nested is y": BadMachine("L0-PER-01", _options("options kvm_amd nested=y", "nested=y")),
    "kvm itself refuses an option": BadMachine(
        "L0-PER-01",
        {
            "modprobe.d": {"/etc/modprobe.d/kvm.conf": "options kvm ignore_msrs=maybe\noptions kvm_amd nested=1"},
            "readings": {
                **_INFO,
                _DEPENDS: f"{_KO}/arch/x86/kvm/kvm.ko ignore_msrs=maybe\n{_KO}/arch/x86/kvm/kvm-amd.ko nested=1 ",
            },
        },
    ),
    "a dependency refuses an option": BadMachine(
        "L0-PER-01",
        {
            "modprobe.d": {"/etc/modprobe.d/kvm.conf": "options ccp psp_timeout=long\noptions kvm_amd nested=1"},
            "readings": {
                **_INFO,
                _DEPENDS: f"{_KO}/drivers/crypto/ccp/ccp.ko psp_timeout=long\n{_KO}/arch/x86/kvm/kvm-amd.ko nested=1 ",
            },
        },
    ),
    "the next boot gives kvm an option that it refuses": BadMachine(
        "L0-PER-06", _grub('GRUB_CMDLINE_LINUX="quiet kvm.ignore_msrs=maybe"')
    ),
    "the next boot's kmod has it on its blacklist": BadMachine(
        "L0-PER-05", _grub('GRUB_CMDLINE_LINUX="modprobe.blacklist=kvm_amd"')
    ),
    "the next boot's kernel has it on its blacklist": BadMachine(
        "L0-PER-05", {"readings": {"/etc/kernel/cmdline": "quiet module_blacklist=kvm_amd"}}
    ),
    "the next boot blocks a dependency": BadMachine(
        "L0-PER-05", _grub('GRUB_CMDLINE_LINUX="module_blacklist=irqbypass"')
    ),
    "RHEL 7 runs with a value that was given once": BadMachine(
        "L0-PER-01",
        {
            "readings": {"/proc/sys/kernel/osrelease": "3.10.0-1160.el7.x86_64"},
            "modprobe.d": {},
            "kmod gives": "",
        },
        base="intel-l0",
    ),
    "SLES 12 runs with a value that was given once": BadMachine(
        "L0-PER-01",
        {"readings": {"/proc/sys/kernel/osrelease": "4.12.14-122.37-default"}, "modprobe.d": {}, "kmod gives": ""},
        base="intel-l0",
    ),
    "nesting is forbidden, and libvirt refuses": BadMachine(
        "DOM-CPU-02", {**_OFF, "policy": _FORBIDDEN, "readings": {**_OFF["readings"], **_REFUSED}}
    ),
    "processes are hidden, and there is no libvirt": BadMachine(
        "DOM-CPU-02",
        {"libvirt": "none", "policy": {"undeclared": "required"}, "readings": {_PROCESSES: {"status": "unreadable"}}},
    ),
    "a QEMU beside libvirt has the flag": BadMachine(
        "DOM-CPU-02",
        {
            "policy": {"undeclared": "forbidden"},
            "readings": {_PROCESSES: _process(7, "name=beside", "accel=kvm", "cpu=host"), _HOLDERS: "7"},
        },
        subject="beside",
    ),
    "a guest whose host is not in the run": BadMachine(
        "L1-CPU-01", _domain(_PASSTHROUGH), subject="ci-1", words=(f"--hosts={NAME}.ci-1",)
    ),
    "Intel's host-model was started while nested was off": BadMachine(
        "DOM-CPU-03",
        _domain(
            "<cpu mode='host-model'/>",
            "<cpu mode='custom'><model>Haswell-noTSX-IBRS</model><feature policy='require' name='ss'/></cpu>",
        ),
        base="intel-l0",
        subject="ci-1",
    ),
    "a -global withholds the flag": BadMachine(
        "DOM-CPU-02", _domain(_past_libvirt("-global", "cpu.svm=off")), subject="ci-1"
    ),
    "an -accel emulates": BadMachine("DOM-CPU-02", _domain(_past_libvirt("-accel", "tcg")), subject="ci-1"),
    "a -machine emulates": BadMachine("DOM-CPU-02", _domain(_past_libvirt("-machine", "accel=tcg")), subject="ci-1"),
    "a -readconfig may say anything": BadMachine(
        "DOM-CPU-02", _domain(_past_libvirt("-readconfig", "/etc/q.cfg")), subject="ci-1"
    ),
    "a -global exposes what is forbidden": BadMachine(
        "DOM-CPU-02",
        {
            **_OFF,
            "policy": _FORBIDDEN,
            **_domain(
                "<cpu mode='custom'><model>Nehalem</model></cpu><qemu:commandline><qemu:arg value='-global'/>"
                "<qemu:arg value='Nehalem-x86_64-cpu.svm=on'/></qemu:commandline>",
                declared={"nested": "forbidden"},
            ),
        },
        subject="ci-1",
    ),
    "a process contradicts its XML": BadMachine(
        "DOM-CPU-03",
        {
            **_domain(_PASSTHROUGH, _PASSTHROUGH, uuid="00000000-0000-4000-8000-000000000001"),
            "readings": {
                _PROCESSES: _process(7, "uuid=00000000-0000-4000-8000-000000000001", "accel=kvm", "cpu=qemu64"),
                _HOLDERS: "7",
            },
        },
        subject="ci-1",
    ),
    "a process emulates a domain of KVM": BadMachine(
        "DOM-CPU-03",
        {
            **_domain(_PASSTHROUGH, _PASSTHROUGH, uuid="00000000-0000-4000-8000-000000000001"),
            "readings": {
                _PROCESSES: _process(7, "uuid=00000000-0000-4000-8000-000000000001", "accel=tcg", "cpu=host"),
                _HOLDERS: "",
            },
        },
        subject="ci-1",
    ),
    "an architecture of which nothing is known": BadMachine("L0-KVM-04", {"readings": {"uname -m": "riscv64"}}),
    "arm64's word is not in the next boot": BadMachine(
        "L0-PER-06",
        {"readings": {_GRUB: "GRUB_CMDLINE_LINUX=quiet"}},
        base="aarch64-l0",
    ),
    "a variable of grub is not known": BadMachine("L0-PER-06", _grub('GRUB_CMDLINE_LINUX="$EXTRA"')),
    "grub's file sources another": BadMachine(
        "L0-PER-06", _grub(". /etc/default/grub-extra\nGRUB_CMDLINE_LINUX=quiet")
    ),
    "tuned's parameters were not read": BadMachine(
        "L0-PER-06",
        {
            "readings": {
                "/boot/loader/entries": "5.14.conf",
                "/boot/loader/entries/5.14.conf": "options root=/dev/sda1 ro $tuned_params",
            }
        },
    ),
    "a program that is not known holds a VM": BadMachine(
        "L0-SEC-02", {"policy": _FORBIDDEN, "readings": {_HOLDERS: "901"}}
    ),
    "the guest's memory is encrypted": BadMachine(
        "DOM-CPU-02", _domain(f"{_PASSTHROUGH}<launchSecurity type='sev'/>"), subject="ci-1"
    ),
    "two processes of one name": BadMachine(
        "DOM-CPU-02",
        {
            "libvirt": "none",
            **_domain(""),
            "readings": {
                _PROCESSES: f"{_process(7, 'name=ci-1', 'cpu=host')}\n{_process(8, 'name=ci-1', 'cpu=qemu64')}",
                _HOLDERS: "7\n8",
            },
        },
        subject="ci-1",
    ),
    "a domain is named as another's uuid": BadMachine(
        "DOM-CPU-02",
        {
            "domains": {
                "00000000-0000-4000-8000-000000000002": {
                    "uuid": "00000000-0000-4000-8000-000000000001",
                    "inactive": _PASSTHROUGH,
                    "expect": ["pass"] * 3,
                },
                "ci-1": {
                    "uuid": "00000000-0000-4000-8000-000000000002",
                    "declared": {},
                    "inactive": "<cpu mode='custom'><model>qemu64</model></cpu>",
                    "expect": ["pass"] * 3,
                },
            }
        },
        subject="ci-1",
    ),
    "a managed save has an old CPU": BadMachine(
        "DOM-CPU-04",
        _domain(_PASSTHROUGH, managed_save="<cpu mode='custom'><model>qemu64</model></cpu>"),
        subject="ci-1",
    ),
    "a managed save has the flag that is forbidden": BadMachine(
        "DOM-CPU-04",
        {
            **_OFF,
            "policy": _FORBIDDEN,
            **_domain(
                "<cpu mode='custom'><model>qemu64</model></cpu>",
                managed_save=_PASSTHROUGH.replace("host-passthrough", "maximum"),
                declared={"nested": "forbidden"},
            ),
        },
        subject="ci-1",
    ),
    "a file's name in the log is no message of the kernel": BadMachine(
        "L0-KVM-04",
        {"readings": {"dmesg": "x[1]: segfault at 0 in kvm VHE+NV2 mode initialized successfully[400000+1000]"}},
        base="aarch64-l0",
    ),
    "nested reads as no number": BadMachine(
        "L0-KVM-04", {"readings": {"/sys/module/kvm_amd/parameters": "nested=1_0\nnpt=Y"}}
    ),
    "/dev/kvm is open to no one": BadMachine(
        "L0-KVM-01", {"readings": {"/dev/kvm": "c--------- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm"}}
    ),
    "the target is a container": BadMachine(
        "L0-PER-01",
        {"readings": {"ls -l /proc/self/ns": "lrwxrwxrwx 1 0 0 0 Nov 28 14:00 pid -> pid:[4026532683]"}},
    ),
}
