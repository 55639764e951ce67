"""What an ssh-config says; OpenSSH's own `ssh -G` is asked wherever it says the same thing."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, check_settings, connect
from nested_kvm.connection.ssh import config_match
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.errors import ConnectionFailed, UsageError
from nested_kvm.inventory.address import Address

CONFIG = """\
Port 2200
Host kvm-a kvm-b
    HostName %h.example.net   # a comment
    User=auditor
    IdentityFile ~/.ssh/first
    IdentityFile "~/.ssh/second"
    ConnectTimeout 7
Host kvm-b
    User nobody
    Port 22
    HostKeyAlias rack-b
Match originalhost kvm-a
    IdentitiesOnly yes
Host *
    IdentityFile ~/.ssh/third
    UserKnownHostsFile ~/.ssh/a "~/.ssh/b c"
    StrictHostKeyChecking no
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("host", ["kvm-a", "kvm-b", "elsewhere"])
def test_it_is_read_as_openssh_reads_it(path: Path, host: str) -> None:
    options = SshConfig.load(written(path, CONFIG)).lookup(host)
    output = subprocess.run(["ssh", "-G", "-F", path, host], check=True, capture_output=True, text=True).stdout
    lines = [line.partition(" ")[::2] for line in output.splitlines()]
    openssh = dict(lines)
    assert options.hostname == openssh["hostname"]
    assert str(options.port) == openssh["port"]
    assert options.user in {openssh["user"], None}
    assert [str(file) for file in options.identity_files] == [
        str(Path(value).expanduser()) for keyword, value in lines if keyword == "identityfile"
    ]
    assert options.identities_only is (openssh["identitiesonly"] == "yes")
    assert options.connect_timeout == (
        None if openssh["connecttimeout"] == "none" else float(openssh["connecttimeout"])
    )
    assert options.host_key_alias == openssh.get("hostkeyalias")
    assert " ".join(map(str, options.user_known_hosts)) == openssh["userknownhostsfile"]
    assert options.accept_unknown_host_key


def test_nothing_is_assumed_of_a_host_that_is_not_mentioned(path: Path) -> None:
    options = SshConfig.load(written(path, "")).lookup("kvm-a")
    assert (options.hostname, options.port, options.user, options.identity_files) == ("kvm-a", None, None, ())
    assert not options.accept_unknown_host_key
    assert options.user_known_hosts[0] == Path("~/.ssh/known_hosts").expanduser()
    assert options.global_known_hosts[0] == Path("/etc/ssh/ssh_known_hosts")


def test_included_files_are_read_in_their_place(path: Path, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("Host kvm-a\n  User from-a\n")
    (tmp_path / "conf.d" / "b.conf").write_text("Host kvm-*\n  User from-b\n  Port 1\n")
    text = f"Include {tmp_path}/conf.d/*.conf {tmp_path}/absent\nCompression yes\nPort 2\nHost *\n  User late\n"
    config = SshConfig.load(written(path, text))
    users = {host: (config.lookup(host).user, config.lookup(host).port) for host in ("kvm-a", "kvm-b", "x")}
    assert users == {"kvm-a": ("from-a", 1), "kvm-b": ("from-b", 1), "x": ("late", 2)}


def test_a_file_included_in_a_block_belongs_to_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("Port 7\n")
    config = SshConfig.load(written(path, f"Host kvm-a\n  Include {tmp_path}/keys\n  User root\n"))
    assert (config.lookup("kvm-a").port, config.lookup("kvm-a").user) == (7, "root")
    assert (config.lookup("kvm-b").port, config.lookup("kvm-b").user) == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("User root\nPort\n", ":2: the ssh-config has a syntax error"),
        ('Match exec "unclosed\n', ":1: the ssh-config has a syntax error"),
        ("Match host\n", ":1: the ssh-config has a syntax error: Missing parameter"),
        ("\nMatch tagged blue\n", ":2: Match tagged is not supported"),
        ("Include {path}\n", ":1: Include is nested more than 16 levels deep"),
        ("Host a\nInclude {path}.d\n", ":2: .* has Host or Match lines"),
    ],
)
def test_what_cannot_be_understood_names_file_and_line(path: Path, text: str, reason: str) -> None:
    Path(f"{path}.d").write_text("Host b\n")
    written(path, text.format(path=path))
    with pytest.raises(UsageError, match=f"^{path}{reason}"):
        check_settings(Settings(ssh_config=path))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Port ssh", "for host kvm-a: Port 'ssh' is not a valid port"),
        ("Port 65536", "for host kvm-a: Port '65536' is not a valid port"),
        ("ConnectTimeout 5s", "for host kvm-a: ConnectTimeout '5s' is not a number of seconds"),
        ("StrictHostKeyChecking maybe", "StrictHostKeyChecking 'maybe' is not one of yes"),
        ("CanonicalizeHostname yes", "for host kvm-a: 'canonicaldomains'"),
    ],
)
def test_a_value_of_the_wrong_kind_names_file_keyword_and_host(path: Path, line: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        SshConfig.load(written(path, line)).lookup("kvm-a")
    assert str(caught.value).startswith(f"{path}: ")


def test_a_config_that_is_asked_for_must_be_there(path: Path) -> None:
    with pytest.raises(UsageError, match=f"{path}: the ssh-config cannot be read: No such file"):
        check_settings(Settings(ssh_config=path))


def test_the_usual_config_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SshConfig.load().lookup("kvm-a").user is None
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Include more\n")
    (tmp_path / ".ssh" / "more").write_text("User auditor\n")
    assert SshConfig.load().lookup("kvm-a").user == "auditor"


def test_it_is_parsed_once_for_any_number_of_hosts(path: Path) -> None:
    written(path, CONFIG)
    assert SshConfig.load(path)._config is SshConfig.load(path)._config
    written(path, f"{CONFIG}\n")
    assert SshConfig.load(path).lookup("kvm-a").user == "auditor"


@pytest.mark.parametrize("line", ["ProxyJump none\nProxyCommand nc", "ProxyCommand none\nProxyJump x"])
def test_a_way_round_may_be_ruled_out(path: Path, line: str) -> None:
    options = SshConfig.load(written(path, line)).lookup("kvm-a")
    assert (options.proxy_jump, options.proxy_command) == (None, None)


@pytest.mark.parametrize(
    ("line", "jump", "command"),
    [("ProxyJump a\nProxyCommand nc", "a", None), ("ProxyCommand nc %h\nProxyJump none", None, "nc %h")],
)
def test_the_first_way_round_counts(path: Path, line: str, jump: str | None, command: str | None) -> None:
    options = SshConfig.load(written(path, line)).lookup("kvm-a")
    assert (options.proxy_jump, options.proxy_command) == (jump, command)


@pytest.mark.parametrize(("of_the_run", "seconds"), [(None, "1"), (0.3, "0.3")])
def test_the_configs_time_limit_holds_unless_the_run_has_one(
    path: Path, of_the_run: float | None, seconds: str
) -> None:
    written(path, "ConnectTimeout 1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address.parse(f"ssh://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ConnectionFailed, match=f"within {seconds} s"):
            connect(address, Settings(ssh_config=path, connect_timeout=of_the_run), name="kvm-a")


def options_user(path: Path, command: str, before: str = "Match") -> str | None:
    return SshConfig.load(written(path, f'{before} exec "{command}"\n  User matched\n')).lookup("kvm-a").user


@pytest.mark.parametrize(
    ("command", "before", "user"),
    [
        ("true", "Match", "matched"),
        ("false", "Match", None),
        ("test %n = kvm-a", "Match host kvm-*", "matched"),
        ("touch {mark}", "Match host kvm-b", None),
        ("read line", "Match", None),
    ],
    ids=["true", "false", "with a token", "of another host", "without input"],
)
def test_match_exec_decides_as_in_openssh(path: Path, command: str, before: str, user: str | None) -> None:
    mark = path.with_name("mark")
    assert options_user(path, command.format(mark=mark), before) == user
    output = subprocess.run(
        ["ssh", "-G", "-F", path, "kvm-a"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    assert ("user matched\n" in output) is (user is not None)
    assert not mark.exists()


def test_match_exec_may_be_negated(path: Path) -> None:
    assert SshConfig.load(written(path, "Match !exec false\n  User matched\n")).lookup("kvm-a").user == "matched"
    assert SshConfig.load(written(path, "Match !exec true\n  User matched \n")).lookup("kvm-a").user is None


def test_a_match_exec_that_hangs_is_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_match, "SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(UsageError, match=rf"^{path}: for host kvm-a: Match exec 'sleep 50' takes longer than 0\.3 s"):
        options_user(path, "sleep 50")
    assert time.monotonic() - start < 25


def test_match_exec_runs_once_for_a_host(path: Path) -> None:
    config = SshConfig.load(written(path, f'Match exec "echo >> {path}.count"\n  User matched\n'))
    assert [config.lookup("kvm-a").user for _ in range(3)] == ["matched"] * 3
    assert Path(f"{path}.count").read_text() == "\n"
