"""The access check of acl(5), and which account it is asked of."""

import pytest

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import GETFACL, QEMU_CONF
from nested_kvm.facts.kvm.device import kvm_device_of
from nested_kvm.facts.kvm.device_access import KvmAccess, kvm_access_of
from nested_kvm.model.answer import Answer
from tests.support.bundles import bundle_of, ok

DEV = "uid=1000(dev) gid=1000(dev) groups=1000(dev),27(sudo)"
NO_LIBVIRT = Reading(QEMU_CONF, Status.ABSENT)


def access(mode: str, acl: str | None = None, account: str = DEV, *more: Reading) -> KvmAccess:
    device = ok("/dev/kvm", f"{mode} 1 0 106 10, 232 Nov 21 00:21 /dev/kvm")
    listed = Reading(GETFACL, Status.MISSING) if acl is None else ok(GETFACL, acl.replace(" ", "\n"))
    bundle = bundle_of(device, listed, ok("id", account), NO_LIBVIRT, *more, modules="kvm")
    return kvm_access_of(bundle, kvm_device_of(bundle))


@pytest.mark.parametrize(
    ("mode", "account", "may"),
    [
        ("crw-rw----", DEV, Answer.NO),
        ("crw-rw----", "uid=1000(dev) gid=106(kvm) groups=106(kvm)", Answer.YES),
        ("crw-rw----", "uid=1000(dev) gid=1000(dev) groups=1000(dev),106(kvm)", Answer.YES),
        ("crw-rw----", "uid=1000(dev) gid=1000(dev) groups=1000(dev),1106(x)", Answer.NO),
        ("crw-rw----.", "uid=1000(dev) gid=106(kvm)", Answer.YES),
        ("crw-r-----", "uid=1000(dev) gid=106(kvm) groups=106(kvm)", Answer.NO),
        ("crw-rw-rw-", "uid=0(root) gid=0(root) groups=0(root)", Answer.YES),
        ("crw-rw----", "uid=0(root) gid=0(root) groups=0(root)", Answer.UNKNOWN),
        ("crw----rw-", "uid=1000(dev) gid=106(kvm) groups=106(kvm)", Answer.NO),
        ("crw----rw-", DEV, Answer.YES),
        ("crw-rw-r--", DEV, Answer.NO),
    ],
)
def test_the_mode_decides(mode: str, account: str, may: Answer) -> None:
    assert access(mode, None, account).may_open is may


@pytest.mark.parametrize(
    ("acl", "may"),
    [
        ("user::rw- user:1000:rw- group::--- mask::rw- other::---", Answer.YES),
        ("user::rw- user:1000:--- group::rw- mask::rw- other::rw-", Answer.NO),
        ("user::rw- user:1000:rw- group::rw- mask::r-- other::rw-", Answer.NO),
        ("user::rw- group::rw- group:27:rw- mask::rw- other::---", Answer.YES),
        ("user::rw- group::rw- group:27:r-- mask::rw- other::rw-", Answer.NO),
        ("user::rw- user:1001:rw- group::rw- mask::rw- other::---", Answer.NO),
        ("user::rw- user:1001:--- group::rw- mask::rw- other::rw-", Answer.YES),
    ],
)
def test_an_access_control_list_decides(acl: str, may: Answer) -> None:
    assert access("crw-rw----+", acl).may_open is may


def test_a_list_that_nothing_shows_decides_nothing() -> None:
    seen = access("crw-rw-rw-+")
    assert (seen.may_open, "getfacl" in seen.reason) == (Answer.UNKNOWN, True)


@pytest.mark.parametrize("printed", ["", "uid=root", "uid=1(a"])
def test_an_id_that_prints_something_else_was_not_seen(printed: str) -> None:
    with pytest.raises(ObservationError):
        access("crw-rw----", None, printed)


@pytest.mark.parametrize(
    ("conf", "ids", "said"),
    [
        ("", ["qemu"], "qemu (libvirt's)"),
        ("user = 'vm'\n", ["vm"], "vm (libvirt's, from"),
        ('user = "one"\nuser = "vm"\n', ["vm"], "vm (libvirt's, from"),
        ("", [], "names none"),
        ("", ["libvirt-qemu", "qemu"], "names none"),
        ('group = "x"\n', ["qemu"], "whose number is not known"),
    ],
)
def test_libvirts_account_is_its_configurations_or_the_distributions(conf: str, ids: list[str], said: str) -> None:
    unknown = [Reading(f"id {name}", Status.FAILED, "no such user", 1) for name in ("libvirt-qemu", "qemu")]
    known = [ok(f"id {name}", "uid=107(q) gid=107(q) groups=107(q)") for name in ids]
    group = Reading("getent group x", Status.FAILED, "", 2)
    assert said in access("crw-rw----", None, DEV, *unknown, *known, ok(QEMU_CONF, conf), group).reason
