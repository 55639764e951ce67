"""Files of an AMD server, mounted over this machine's own: a login finds a KVM host.

Each of them is what Debian 12 has on such a machine, in size and number; no device can be opened.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from tests.integration.kmod.module_tree import object_file
from tests.support.needs import program

CPUS: Final = 32
_FLAGS: Final = """\
fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext \
fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc cpuid extd_apicid aperfmperf rapl pni pclmulqdq \
monitor ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic \
cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb bpext \
perfctr_llc mwaitx cpb cat_l3 cdp_l3 invpcid_single hw_pstate ssbd mba ibrs ibpb stibp vmmcall fsgsbase bmi1 avx2 smep \
bmi2 invpcid cqm rdt_a rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 xsaves cqm_llc cqm_occup_llc \
cqm_mbm_total cqm_mbm_local clzero irperf xsaveerptr rdpru wbnoinvd amd_ppin brs arat npt lbrv svm_lock nrip_save \
tsc_scale vmcb_clean flushbyasid decodeassists pausefilter pfthreshold v_vmsave_vmload vgif v_spec_ctrl umip pku ospke \
vaes vpclmulqdq rdpid overflow_recov succor smca fsrm"""
_CPU: Final = """\
processor\t: {number}
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7313 16-Core Processor
stepping\t: 1
microcode\t: 0xa0011d3
cpu MHz\t\t: 3000.000
cache size\t: 512 KB
physical id\t: 0
siblings\t: 32
core id\t\t: {core}
cpu cores\t: 16
apicid\t\t: {number}
fpu\t\t: yes
cpuid level\t: 16
wp\t\t: yes
flags\t\t: {flags}
bugs\t\t: sysret_ss_attrs spectre_v1 spectre_v2 spec_store_bypass srso
bogomips\t: 5988.96
address sizes\t: 48 bits physical, 48 bits virtual
power management: ts ttp tm hwpstate cpb eff_freq_ro [13] [14]
"""
_PARAMETERS: Final = {
    "kvm": "enable_vmware_backdoor=N flush_on_reuse=N force_emulation_prefix=0 halt_poll_ns=200000 halt_poll_ns_grow=2 "
    "halt_poll_ns_grow_start=10000 halt_poll_ns_shrink=0 ignore_msrs=N kvmclock_periodic_sync=Y lapic_timer_advance=Y "
    "min_timer_period_us=200 mmio_caching=Y nx_huge_pages=off nx_huge_pages_recovery_period_ms=0 pi_inject_timer=0 "
    "nx_huge_pages_recovery_ratio=60 report_ignored_msrs=Y tdp_mmu=Y tsc_tolerance_ppm=250 vector_hashing=Y",
    "kvm_amd": "avic=N dump_invalid_vmcb=N force_avic=N intercept_smi=Y lbrv=1 nested=1 npt=Y nrips=1 "
    "pause_filter_count=3000 pause_filter_count_grow=2 pause_filter_count_max=65535 "
    "pause_filter_count_shrink=0 pause_filter_thresh=128 "
    "sev=N sev_es=N tsc_scaling=1 vgif=1 vls=1",
}
_BLACKLISTS: Final = {
    "amd64-microcode-blacklist": "microcode",
    "blacklist-ath_pci": "ath_pci",
    "blacklist-firewire": "ohci1394 sbp2 dv1394 raw1394 video1394 firewire-ohci firewire-sbp2",
    "blacklist-framebuffer": "aty128fb atyfb radeonfb cirrusfb cyber2000fb cyblafb gx1fb hgafb i810fb intelfb kyrofb "
    "lxfb matroxfb_base neofb nvidiafb pm2fb rivafb s1d13xxxfb savagefb sisfb sstfb tdfxfb tridentfb vesafb vfb viafb",
    "blacklist-rare-network": "ax25 netrom x25 rose decnet econet rds tipc",
    "blacklist": "evbug usbmouse usbkbd eepro100 de4x5 eth1394 snd_intel8x0m snd_aw2 prism54 bcm43xx garmin_gps "
    "asus_acpi snd_pcsp pcspkr amd76x_edac",
    "intel-microcode-blacklist": "microcode",
}
_MODPROBE_D: Final = {
    **{
        f"{name}.conf": "# Kept from being loaded by its alias alone.\n"
        + "".join(f"blacklist {module}\n" for module in modules.split())
        for name, modules in _BLACKLISTS.items()
    },
    "iwlwifi.conf": "remove iwlwifi (/sbin/lsmod | grep -o -e ^iwlmvm -e ^iwldvm | xargs /sbin/rmmod) \\\n"
    "&& /sbin/modprobe -r mac80211\n",
    "mdadm.conf": "options md_mod start_ro=1\n",
    "kvm.conf": "# Guests run their own virtual machines.\noptions kvm_amd nested=1\n",
}
_TEXTS: Final = {
    "proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz root=UUID=6c0f2c1e-5d0b-4c55-8f3c-0a4d7e0e6a11 ro quiet iommu=pt\n",
    "etc/default/grub": 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\n'
    'GRUB_CMDLINE_LINUX=""\n',
    "etc/default/libvirt-guests": "ON_SHUTDOWN=shutdown\nSHUTDOWN_TIMEOUT=300\n",
    "sys/class/dmi/id/sys_vendor": "Supermicro\n",
    "sys/class/dmi/id/product_name": "AS -1014S-WTRT\n",
    "sys/class/dmi/id/product_uuid": "2a845d3e-16b2-4ad8-a3b3-28c6c445cc8f\n",
    "sys/devices/system/cpu/online": f"0-{CPUS - 1}\n",
    "sys/devices/system/cpu/vulnerabilities/itlb_multihit": "Not affected\n",
    "sys/devices/system/cpu/vulnerabilities/l1tf": "Not affected\n",
}
_PARMTYPES: Final = {"kvm": "ignore_msrs:bool", "kvm-amd": "nested:int", "kvm-intel": "nested:bool"}

PROGRAMS: Final = {
    "systemctl": '#!/bin/sh\n[ "$1" = is-enabled ] || exit 3\necho disabled\nexit 1\n',
    "dmesg": "#!/bin/sh\ncat <<'END'\n"
    "[    8.774291] kvm_amd: TSC scaling supported\n[    8.774663] kvm_amd: Nested Virtualization enabled\n"
    "[    8.774670] kvm_amd: Nested Paging enabled\n[    8.775240] kvm_amd: Virtual GIF supported\nEND\n",
}
"""Replacements for programs that would report on this machine."""

_NODES: Final = "null zero full random urandom tty"


def write_machine(folder: Path) -> str:
    """Write a KVM host's files, and return the prelude by which an sshd's namespaces show them.

    Raises:
        BenchError: depmod cannot make the module tree.
    """
    cpus = (_CPU.format(number=number, core=number // 2, flags=_FLAGS) for number in range(CPUS))
    files = _TEXTS | {"proc/cpuinfo": "\n".join(cpus) + "\n"}
    files |= {f"etc/modprobe.d/{name}": text for name, text in _MODPROBE_D.items()} | dict(_sys_module())
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _write_modules(folder)
    return _prelude(folder)


def _sys_module() -> list[tuple[str, str]]:
    pairs = []
    for module, words in _PARAMETERS.items():
        values = {"coresize": "1146880", "initsize": "0", "initstate": "live", "refcnt": "0", "taint": ""}
        values |= {f"parameters/{name}": value for name, _, value in (word.partition("=") for word in words.split())}
        pairs += [(f"sys/module/{module}/{name}", f"{value}\n") for name, value in values.items()]
    return pairs


def _write_modules(folder: Path) -> None:
    release = os.uname().release
    modules = folder / "lib/modules" / release / "kernel/arch/x86/kvm"
    modules.mkdir(parents=True)
    for module, parameter in _PARMTYPES.items():
        info = {"license": "GPL", "parmtype": parameter, "name": module.replace("-", "_")}
        (modules / f"{module}.ko").write_bytes(object_file(info))
    for name in ("modules.builtin", "modules.order"):
        (folder / "lib/modules" / release / name).touch()
    done = subprocess.run(
        [program("depmod") or "depmod", "-b", str(folder), release], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"depmod makes no module tree: {done.stderr.strip()}; is kmod complete? Reinstall it")


def _prelude(folder: Path) -> str:
    """Return the shell commands. The kvm node lies where no node is a device: stat works on it, open does not.

    Its group is the one that udev gives it here: packages of QEMU create it, with any number.
    """
    return f"""
mount --bind {folder}/proc/cpuinfo /proc/cpuinfo
mount --bind {folder}/proc/cmdline /proc/cmdline
mount -t overlay -o lowerdir={folder}/etc:/etc none /etc
mount -t overlay -o lowerdir={folder}/lib:"$(readlink -f /lib)" none "$(readlink -f /lib)"
mount --rbind {folder}/sys /sys
mount -t tmpfs -o mode=700 none ~root
mkdir /run/dev /run/nodes
mount -t tmpfs -o nodev none /run/nodes
mknod -m 660 /run/nodes/kvm c 10 232
chgrp kvm /run/nodes/kvm 2>/dev/null || chgrp 106 /run/nodes/kvm
mount -t tmpfs -o mode=755 none /run/dev
for node in {_NODES}; do : >/run/dev/$node; mount --bind /dev/$node /run/dev/$node; done
mkdir /run/dev/pts /run/dev/shm
mount --rbind /dev/pts /run/dev/pts
mount --rbind /dev/shm /run/dev/shm
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
ln -s fd/0 /run/dev/stdin
ln -s fd/1 /run/dev/stdout
ln -s fd/2 /run/dev/stderr
: >/run/dev/kvm
mount --bind /run/nodes/kvm /run/dev/kvm
mount --move /run/dev /dev
"""
