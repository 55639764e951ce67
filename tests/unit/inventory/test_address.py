import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.address import Address


@pytest.mark.parametrize(
    ("spec", "scheme", "host", "user", "port"),
    [
        ("kvm-a", "ssh", "kvm-a", None, None),
        ("root@kvm-a", "ssh", "kvm-a", "root", None),
        ("ssh://root@kvm-a.example.net:22", "ssh", "kvm-a.example.net", "root", 22),
        ("paramiko://kvm-a", "ssh", "kvm-a", None, None),
        ("safe-ssh://kvm-a/", "ssh", "kvm-a", None, None),
        ("ssh://[fe80::1]:2222", "ssh", "fe80::1", None, 2222),
        ("ssh://192.0.2.1:65535", "ssh", "192.0.2.1", None, 65535),
        ("ssh://KVM-A", "ssh", "KVM-A", None, None),
        ("local://", "local", "", None, None),
        ("docker://web_1", "docker", "web_1", None, None),
        ("agent", "agent", "", None, None),
    ],
)
def test_a_host_spec_is_taken_apart(spec: str, scheme: str, host: str, user: str | None, port: int | None) -> None:
    address = Address.parse(spec)
    assert (address.scheme, address.host, address.user, address.port) == (scheme, host, user, port)
    assert str(address) == spec


def test_options_follow_a_question_mark() -> None:
    assert dict(Address.parse("ssh://kvm-a?timeout=5&sudo=true").options) == {"timeout": "5", "sudo": "true"}


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "ssh://",
        "ssh://kvm-a:port",
        "ssh://kvm-a:65536",
        "ssh://kvm-a:-1",
        "ssh://-oProxyCommand=reboot",
        "ssh://root@-x",
        "ssh://kvm a",
        "ssh://kvm-a;reboot",
        "ssh://kvm-a/etc",
        "ssh://kvm-a#x",
        "ssh://kvm-a?timeout",
        "ssh://kvm-a?timeout=soon",
        "ssh://kvm-a?ssh_indentity_file=key",
        "telnet://kvm-a",
        "://kvm-a",
        "local://kvm-a",
        "docker://",
        "docker://-v",
        "docker://a b",
        "ssh://[fe80::1",
    ],
)
def test_what_is_no_host_spec_is_refused(spec: str) -> None:
    with pytest.raises(InventoryError, match="address"):
        Address.parse(spec)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InventoryError, match="carries a password") as refused:
        Address.parse("ssh://root:hunter2@kvm-a")
    assert "hunter2" not in str(refused.value)


@given(st.one_of(st.text(max_size=40), st.text("ssh:/@[]?#%-.local0", max_size=40)))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except InventoryError:
        return
    assert not address.host.startswith("-")
    assert not set(address.host) & set(" \n;$`'\"\\|&<>")
