"""Of libvirt's files the probe reads what is judged, whoever may run QEMU, and nothing else."""

from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Status
from nested_kvm.facts.libvirts_memory import DIRECTORY
from tests.probe.probing import Probing, each_shell, kmods_shells, stub

REMEMBERED = """\
<qemuCaps>
  <emulator>/bin/sh</emulator>
  <qemuctime>1795226918</qemuctime>
  <selfvers>9000000</selfvers>
  <flag name='kvm'/>
  <flag name='sdl'/>
  <kernelVersion>6.1.0 #1 SMP</kernelVersion>
  <cpudata arch='x86'>
  <arch>x86_64</arch>
  <hostCPU type='kvm' model='base' migratability='yes'>
    <property name='vmx-ept' type='boolean' value='false'/>
    <property name='svm' type='boolean' value='true' migratable='yes'/>
  </hostCPU>
  <cpu type='kvm' name='max' usable='yes'/>
  <kvmSupportsNesting/>
</qemuCaps>
"""
KEPT = 10
CONF = """\
#user = "commented"
vnc_password = "geheim"
user = "+77"
group = "vm; touch here"
auto_shutdown_try_save = "none"
"""


@each_shell
@pytest.mark.needs("accounts")
def test_what_libvirt_remembers_is_cut_to_what_is_judged(shell: str, tmp_path: Path) -> None:
    memory = tmp_path / "libvirt" / "qemu" / "capabilities"
    memory.mkdir(parents=True)
    (memory / "a b.xml").write_text(REMEMBERED)
    (memory / "other.xml").write_text("<emulator>$(touch here)</emulator>\n<emulator>/no;touch here</emulator>\n")
    readings = Probing(shell, mounts={tmp_path: "/var/cache"}, cwd=tmp_path).run().answer.readings
    lines = readings[f"{DIRECTORY}/a b.xml"].text.splitlines()
    assert len(lines) == KEPT
    assert not [line for line in lines if any(word in line for word in ("sdl", "cpudata", "vmx-ept", "<cpu "))]
    assert readings["stat -L -c %Z /bin/sh"].text == str(int(Path("/bin/sh").stat().st_ctime))
    assert readings["stat -L -c %Z /no;touch here"].status is Status.FAILED
    assert not (tmp_path / "here").exists()


@kmods_shells
@pytest.mark.needs("accounts")
def test_libvirts_account_and_the_inventorys_are_asked_for(shell: str, tmp_path: Path) -> None:
    conf = tmp_path / "etc" / "libvirt"
    conf.mkdir(parents=True)
    (conf / "qemu.conf").write_text(CONF)
    programs = stub(stub(tmp_path / "bin", "id", 'echo "id of $*"'), "getent", 'echo "group $*"')
    arguments = ("5", "never", "", "ci@example.net")
    probing = Probing(shell, arguments, first_on_path=programs, mounts={tmp_path / "etc": "/etc"}, cwd=tmp_path)
    readings = probing.run().answer.readings
    for account in ("ci@example.net", "libvirt-qemu", "qemu", "77"):
        assert readings[f"id {account}"].text == f"id of {account}"
    assert readings["getent group vm"].is_ok
    assert "geheim" not in readings["/etc/libvirt/qemu.conf"].text
    assert 'user = "+77"' in readings["/etc/libvirt/qemu.conf"].text
    assert not (tmp_path / "here").exists()


@each_shell
@pytest.mark.parametrize("account", ["-rf", "a b", "$(touch here)", "a;b", "a\nb", ""])
def test_what_is_no_account_is_not_asked_for(shell: str, account: str, tmp_path: Path) -> None:
    readings = Probing(shell, ("5", "never", "", account), cwd=tmp_path).run().answer.readings
    assert [source for source in readings if source.startswith("id ")] == ["id -u", "id libvirt-qemu", "id qemu"]
    assert list(tmp_path.iterdir()) == []
