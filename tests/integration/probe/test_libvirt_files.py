"""Of libvirt's files the probe reads what is judged, whoever may run QEMU, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Status
from nested_kvm.facts.libvirt.capabilities_cache import DIRECTORY
from tests.integration.probe.probing import NOBODY, Probing, each_shell, kmods_shells, stub

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
    <property name='vmx-vpid' type='boolean' value='true' migratable='yes'/>
    <property name='svm' type='boolean' value='true' migratable='yes'/>
  </hostCPU>
  <cpu type='kvm' name='max' usable='yes'/>
  <kvmSupportsNesting/>
</qemuCaps>
"""
KEPT = 11
LIBVIRTS = ["id libvirt-qemu", "id qemu"]
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
    assert [line for line in lines if "vmx-vpid" in line], "what KVM offers of VMX is compared between hosts"
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


@kmods_shells
@pytest.mark.needs("accounts")
@pytest.mark.parametrize(
    ("conf", "user", "group"),
    [
        ('user = "qemu1"\n', "qemu1", None),
        ("\t user=qemu2\n", "qemu2", None),
        ("user  =  '+42' # why\ngroup = +43\n", "42", "43"),
        ('user = "a"\nuser = "b"\n#user = "c"\n', "b", None),
        ('user = "a"\nuser = ""\ngroup = "g', None, "g"),
        ('user = " a"\ngroup = ""x"\n', None, None),
        ('user = "a"\r\ngroup = "of"\n', "a", "of"),
        ('users = "a"\nuser_x = "b"\nuser x = "c"\nuser\n', None, None),
        ('user = "every"\ngroup = "g/h"\n', "every", "g"),
        ('user = "*"\ngroup = *\n', None, None),
        ('user = "of"', "of", None),
        ('user = "a=b"\ngroup = "=b"\n', "a", None),
    ],
)
def test_the_last_valid_line_of_qemu_conf_names_the_account(
    conf: str, user: str | None, group: str | None, shell: str, tmp_path: Path
) -> None:
    folder = tmp_path / "etc" / "libvirt"
    folder.mkdir(parents=True)
    (folder / "qemu.conf").write_bytes(conf.encode())
    programs = stub(stub(tmp_path / "bin", "id", 'echo "id of $*"'), "getent", 'echo "group $*"')
    readings = Probing(shell, first_on_path=programs, mounts={tmp_path / "etc": "/etc"}).run().answer.readings
    asked = {source for source in readings if source.startswith(("id ", "getent ")) and source not in LIBVIRTS}
    assert asked == {f"id {user}" for _ in [user] if user} | {f"getent group {group}" for _ in [group] if group}
    assert all(readings[source].text.endswith(source.split()[-1]) for source in asked)


@each_shell
@pytest.mark.parametrize("account", ["-rf", "a b", "$(touch here)", "a;b", "a\nb", ""])
def test_what_is_no_account_is_not_asked_for(shell: str, account: str, tmp_path: Path) -> None:
    readings = Probing(shell, ("5", "never", "", account), cwd=tmp_path).run().answer.readings
    asked = {source for source in readings if source.startswith("id ")}
    assert asked <= {"id libvirt-qemu", "id qemu"}
    assert list(tmp_path.iterdir()) == []


@each_shell
@pytest.mark.needs("accounts")
@pytest.mark.parametrize(
    ("mode", "within", "asked"),
    [(None, (), []), (0o700, NOBODY, LIBVIRTS), (0o755, NOBODY, LIBVIRTS)],
)
def test_libvirts_own_accounts_are_asked_for_unless_it_is_surely_not_there(
    shell: str, mode: int | None, within: tuple[str, ...], asked: list[str], tmp_path: Path
) -> None:
    if mode is not None:
        conf = tmp_path / "etc" / "libvirt"
        conf.mkdir(parents=True)
        (conf / "qemu.conf").touch()
        conf.chmod(mode)
    (tmp_path / "etc").mkdir(exist_ok=True)
    tmp_path.chmod(0o755)
    probing = Probing(shell, mounts={tmp_path / "etc": "/etc"}, within=within)
    assert [each for each in probing.run().answer.readings if each.startswith("id ")] == asked


FOUND = {
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet"\npassword=geheim\n',
    "/etc/default/libvirt-guests": "ON_SHUTDOWN=shutdown\n",
    "/etc/libvirt/qemu.conf": 'auto_shutdown_poweroff = "all"\nvnc_password = "geheim"\n',
}
SAID = {
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet"',
    "/etc/default/libvirt-guests": "ON_SHUTDOWN=shutdown",
    "/etc/libvirt/qemu.conf": 'auto_shutdown_poweroff = "all"',
}


def well_known(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write them below a folder that is to be put over /etc."""
    for name, content in files.items():
        path = folder / name.removeprefix("/etc/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@each_shell
@pytest.mark.needs("accounts")
def test_each_file_of_a_well_known_name_has_the_lines_that_are_its_own(shell: str, tmp_path: Path) -> None:
    etc = well_known(tmp_path / "etc", {name: text.encode() for name, text in FOUND.items()})
    readings = Probing(shell, mounts={etc: "/etc"}).run().answer.readings
    assert {name: readings[name].text for name in FOUND} == SAID
    assert readings["/boot/grub2/grubenv"].status is Status.ABSENT


@each_shell
@pytest.mark.needs("accounts")
def test_one_that_may_not_be_read_takes_no_other_along(shell: str, tmp_path: Path) -> None:
    etc = well_known(tmp_path / "etc", {name: text.encode() for name, text in FOUND.items()})
    (etc / "libvirt/qemu.conf").chmod(0o600)
    tmp_path.chmod(0o755)
    readings = Probing(shell, mounts={etc: "/etc"}, within=NOBODY).run().answer.readings
    assert readings["/etc/libvirt/qemu.conf"].status is Status.UNREADABLE
    assert readings["/etc/default/grub"].text == SAID["/etc/default/grub"]
    assert readings["/etc/default/libvirt-guests"].is_ok


@each_shell
@pytest.mark.needs("accounts")
def test_one_that_grep_takes_for_binary_is_told_apart(shell: str, tmp_path: Path) -> None:
    files = {name: text.encode() for name, text in FOUND.items()}
    etc = well_known(tmp_path / "etc", {**files, "/etc/default/grub": b"\0\nGRUB_CMDLINE_LINUX=x\n"})
    readings = Probing(shell, mounts={etc: "/etc"}).run().answer.readings
    told = readings["/etc/default/grub"]
    as_text = (Status.OK, "GRUB_CMDLINE_LINUX=x")  # so it is for busybox
    assert (told.status, told.text) in {(Status.UNREADABLE, ""), as_text}
    assert {name: readings[name].text for name in list(FOUND)[1:]} == {name: SAID[name] for name in list(FOUND)[1:]}
