import base64
from pathlib import Path

import pytest

from nested_kvm.connection.ssh.known_hosts_file import KnownHosts

KEY = base64.b64encode(b"the key").decode()


def known(tmp_path: Path, *lines: str) -> KnownHosts:
    file = tmp_path / "known_hosts"
    file.write_text("\n".join(lines))
    return KnownHosts.load([file, tmp_path / "absent"])


@pytest.mark.parametrize(
    ("names", "host", "found"),
    [
        ("kvm-a", "kvm-a", True),
        ("kvm-a", "KVM-A", True),
        ("kvm-a", "kvm-ab", False),
        ("x,kvm-a,y", "kvm-a", True),
        ("kvm-?,!kvm-b", "kvm-a", True),
        ("kvm-?,!kvm-b", "kvm-b", False),
        ("*.example.net", "kvm.example.net", True),
        ("*.example.net", "example.net", False),
        ("[kvm-a]:2222", "[kvm-a]:2222", True),
        ("[kvm-a]:*", "[kvm-a]:2222", True),
        ("[kvm-a]:2222", "kvm-a", False),
        ("kvm.a", "kvmxa", False),
        ("|1|broken", "kvm-a", False),
        ("|1|AAAA|BBBB", "kvm-a", False),
    ],
)
def test_names_match_as_sshd_8_describes(tmp_path: Path, names: str, host: str, *, found: bool) -> None:
    assert bool(known(tmp_path, f"{names} ssh-ed25519 {KEY}").keys_of(host)) is found


def test_lines_that_are_no_keys_cost_only_themselves(tmp_path: Path) -> None:
    lines = [
        "# comment",
        "",
        "kvm-a",
        "kvm-a ssh-ed25519",
        "kvm-a ssh-ed25519 not*base64",
        "@revoked",
        "\0\xff",
    ]
    keys = known(tmp_path, *lines, f"kvm-a\tssh-ed25519  {KEY} a comment").keys_of("kvm-a")
    assert [(key.key, key.source) for key in keys] == [(b"the key", f"{tmp_path}/known_hosts:{len(lines) + 1}")]


def test_a_key_of_a_kind_nobody_knows_is_kept(tmp_path: Path) -> None:
    assert known(tmp_path, f"kvm-a ssh-quantum {KEY}").keys_of("kvm-a")[0].key_type == "ssh-quantum"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert not known(tmp_path, "").keys_of("kvm-a")
    assert known(tmp_path, f"kvm-a ssh-ed25519 {KEY}").keys_of("kvm-a")
