"""What decides the next load and the next boot is read: kmod's answer, every module's parameters, the boot loaders."""

from pathlib import Path

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.module_info import module_info_of
from tests.integration.probe.probing import NOBODY, Probing, kmods_shells, stub
from tests.support.bundles import bundle_of

pytestmark = pytest.mark.needs("accounts")
ANSWER = """\
insmod /lib/modules/6.1.0/kernel/drivers/crypto/ccp/ccp.ko.xz nqueues=*
insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm.ko
insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko nested=1
"""
MODPROBE = f"""\
[ -z "$MODPROBE_OPTIONS" ] || echo "options: $MODPROBE_OPTIONS"
[ "$1" = --show-depends ] || exit 1
cat <<END
{ANSWER}END"""
MODINFO = (
    'for each do case $each in /*) echo "filename:       $each"; echo "parm:           size:Of $# (int)" ;; esac; done'
)
GRUB = """\
# GRUB_CMDLINE_LINUX="a comment"
GRUB_TIMEOUT=5
GRUB_PASSWORD=secret
GRUB_CMDLINE_LINUX="quiet"
  . /etc/default/grub-extra
if [ -f /x ]; then
    GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x"
fi
X=1; GRUB_CMDLINE_LINUX_DEFAULT="y"
test -f /etc/default/grub-local && . /etc/default/grub-local
command -p . ./grub-other
GRUB_BACKGROUND="/usr/share/a test . picture.png"
GRUB_DISTRIBUTOR=`( . /etc/os-release; echo ${NAME:-Debian} ) || echo Debian`
"""
READ_OF_GRUB = """\
GRUB_CMDLINE_LINUX="quiet"
  . /etc/default/grub-extra
if [ -f /x ]; then
    GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x"
X=1; GRUB_CMDLINE_LINUX_DEFAULT="y"
test -f /etc/default/grub-local && . /etc/default/grub-local
command -p . ./grub-other
"""
GRUB_CFG = """\
set superusers="root"
password_pbkdf2 root grub.pbkdf2.sha512.10000.SECRET
set kernelopts="quiet"
set extra_cmdline="debug"
menuentry 'Debian' {
\tlinux\t/boot/vmlinuz root=/dev/vda1 ro quiet
\tinitrd\t/boot/initrd.img
}
"""


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    made = tmp_path / "boot"
    for place in ("grub", "grub2", "efi/EFI/Linux", "efi/loader/entries", "loader/entries"):
        (made / place).mkdir(parents=True)
    (made / "grub/grub.cfg").write_text(GRUB_CFG)
    (made / "grub2/grubenv").write_text("# GRUB Environment Block\nsaved_entry=0\ntuned_params=isolcpus=2\n#####")
    (made / "efi/EFI/Linux/6.1.efi").write_text("a kernel")
    (made / "efi/loader/entries/a.conf").write_text("title a\n \toptions quiet\noptions  debug\n")
    return made


def look(tmp_path: Path, boot: Path, shell: str = "sh", *within: str) -> dict[str, Reading]:
    defaults = tmp_path / "default"
    defaults.mkdir(exist_ok=True)
    (defaults / "grub").write_text(GRUB)
    probed = Probing(shell, ("5", "never"), mounts={boot: "/boot", defaults: "/etc/default"}, within=within).run()
    assert (probed.answer.cut, probed.stderr) == (None, "")
    return probed.answer.readings


@kmods_shells
def test_the_parameters_of_every_module_are_read_and_the_environment_is_not_asked(tmp_path: Path, shell: str) -> None:
    programs = stub(stub(tmp_path / "bin", "modprobe", MODPROBE), "modinfo", MODINFO)
    environment = {"MODPROBE_OPTIONS": "-C /dev/null"}
    readings = Probing(shell, ("5", "never"), first_on_path=programs, environment=environment).run().answer.readings
    answers = [reading.text for source, reading in readings.items() if source.startswith("modprobe --show-depends")]
    assert answers == [ANSWER.strip()]
    info = module_info_of(bundle_of(readings[sources.EVERY_MODULE]), "kvm_amd")
    assert info.parameters == {name: {"size": "int"} for name in ("ccp", "kvm", "kvm_amd")}
    assert "Of 3" in readings[sources.EVERY_MODULE].text


@kmods_shells
def test_without_a_module_to_load_no_parameters_are_asked_for(tmp_path: Path, shell: str) -> None:
    programs = stub(stub(tmp_path / "bin", "modprobe", "echo builtin kvm_amd"), "modinfo", "echo never")
    readings = Probing(shell, ("5", "never"), first_on_path=programs).run().answer.readings
    assert readings[sources.EVERY_MODULE] == Reading(sources.EVERY_MODULE, Status.ABSENT)


OF = "insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/"
OF_ALL = f"{OF}kvm.ko\n{OF}kvm-intel.ko.zst\n{OF}kvm-amd.ko.xz"


@kmods_shells
@pytest.mark.parametrize(
    ("answer", "modinfo", "is_asked_alone"),
    [
        (OF_ALL, MODINFO, False),
        (OF_ALL.replace("-", "_"), MODINFO, False),
        (OF_ALL, f"{MODINFO}; exit 1", True),
        (f"{OF}kvm.ko\n{OF}kvm-other.ko", MODINFO, True),
        ("builtin kvm_amd", MODINFO, True),
        ("install /bin/true", MODINFO, True),
    ],
)
def test_the_modules_own_parameters_are_asked_for_where_the_list_of_all_has_them_not(
    tmp_path: Path, shell: str, answer: str, modinfo: str, *, is_asked_alone: bool
) -> None:
    programs = stub(stub(tmp_path / "bin", "modprobe", f"cat <<END\n{answer}\nEND"), "modinfo", modinfo)
    readings = Probing(shell, ("5", "never"), first_on_path=programs).run().answer.readings
    asked = [source for source in readings if source.startswith("modinfo --parameters")]
    assert bool(asked) is is_asked_alone
    assert all("modinfo" in source for source in asked)
    assert sources.EVERY_MODULE in readings


@kmods_shells
def test_without_timeout_both_questions_have_an_answer(tmp_path: Path, shell: str) -> None:
    programs = stub(stub(tmp_path / "bin", "modprobe", f"cat <<END\n{OF_ALL}\nEND"), "modinfo", MODINFO)
    stub(programs, "timeout", "exit 1")
    readings = Probing(shell, ("5", "never"), first_on_path=programs).run().answer.readings
    assert [source for source in readings if source.startswith("modinfo --parameters")]
    assert readings[sources.EVERY_MODULE].status is Status.ABSENT


ENTRIES = {
    "plain.conf": "options a\n",
    "b:c.conf": "options b\n",
    "b": "no entry",
    "sp ace *.conf": "title x\noptions c\n",
    "dash -e.conf": "options d\n",
    "empty.conf": "",
    "none.conf": "title only\n",
}


@kmods_shells
def test_each_boot_entry_has_the_lines_that_are_its_own(tmp_path: Path, boot: Path, shell: str) -> None:
    for name, text in ENTRIES.items():
        (boot / "loader/entries" / name).write_text(text)
    (boot / "loader/entries/folder.conf").mkdir()
    (boot / "loader/entries/gone.conf").symlink_to("nowhere")
    readings = look(tmp_path, boot, shell)
    place = f"{sources.BOOT_ENTRIES}/"
    told = {source.removeprefix(place): each.text for source, each in readings.items() if source.startswith(place)}
    assert told == {
        name: "\n".join(line for line in text.split("\n") if line.startswith("options "))
        for name, text in ENTRIES.items()
        if name.endswith(".conf")
    }


@pytest.mark.needs("setpriv")
def test_one_boot_entry_that_may_not_be_read_takes_no_other_along(tmp_path: Path, boot: Path) -> None:
    for name in ("a.conf", "b.conf", "c.conf"):
        (boot / "loader/entries" / name).write_text(f"options {name}\n")
    (boot / "loader/entries/b.conf").chmod(0o600)
    tmp_path.chmod(0o755)
    readings = look(tmp_path, boot, "sh", *NOBODY)
    assert [readings[f"{sources.BOOT_ENTRIES}/{name}.conf"].status for name in "abc"] == [
        Status.OK,
        Status.UNREADABLE,
        Status.OK,
    ]


@kmods_shells
def test_of_grubs_configuration_what_may_decide_is_read_and_nothing_else(
    tmp_path: Path, boot: Path, shell: str
) -> None:
    readings = look(tmp_path, boot, shell)
    assert readings[sources.GRUB].text == READ_OF_GRUB.strip("\n")
    assert readings[sources.GRUB_CFGS[0]].text.split("\n") == [
        'set kernelopts="quiet"',
        'set extra_cmdline="debug"',
        "\tlinux\t/boot/vmlinuz root=/dev/vda1 ro quiet",
    ]
    assert readings[sources.GRUBENV].text == "saved_entry=0\ntuned_params=isolcpus=2"
    assert readings[f"{sources.ESP_ENTRIES[1]}/a.conf"].text == " \toptions quiet\noptions  debug"
    assert readings[sources.ESP_IMAGES] == Reading(sources.ESP_IMAGES, Status.OK, "/boot/efi/EFI/Linux/6.1.efi")


@kmods_shells
def test_a_deployment_that_ostree_has_staged_is_listed(tmp_path: Path, boot: Path, shell: str) -> None:
    """Its command line is in no entry until the machine is shut down."""
    staged = "mount -t tmpfs none /run; mkdir /run/ostree; echo as ostree writes it >/run/ostree/staged-deployment"
    within = ("sh", "-ec", f'{staged}; exec "$@"', "sh")
    listed = look(tmp_path, boot, shell, *within)[sources.ESP_IMAGES].text.split("\n")
    assert set(listed) == {"/run/ostree/staged-deployment", "/boot/efi/EFI/Linux/6.1.efi"}


@pytest.mark.needs("setpriv")
def test_a_system_partition_that_may_not_be_searched_is_unreadable(tmp_path: Path, boot: Path) -> None:
    (boot / "efi").chmod(0o700)
    (boot / "grub/grub.cfg").chmod(0o600)
    readings = look(tmp_path, boot, "sh", *NOBODY)
    assert readings[sources.ESP_IMAGES].status is Status.UNREADABLE
    assert readings[sources.GRUB_CFGS[0]].status is Status.UNREADABLE
