"""A Testinfra suite of somebody else's, with our fixture, on this machine and on two real sshd."""

from pathlib import Path

import pytest

from tests.support.installed import USER, Installed, give
from tests.support.sshd import Sshd, SshdFactory

pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.needs("sshd")]
ASKS = """
def test_the_diagnosis_is_a_sentence(host, nested_kvm):
    assert nested_kvm.can_nest in (True, False)
    assert nested_kvm.diagnosis

def test_facts_have_the_names_that_controls_take(nested_kvm):
    assert nested_kvm.identity.kernel_release
    assert nested_kvm.cpu.flags
    assert nested_kvm.architecture
"""
SUITE = {
    "test_one.py": ASKS,
    "test_two.py": ASKS + "\ndef test_the_host_is_testinfras(host): assert host.check_output('echo me') == 'me'\n",
}


@pytest.fixture(scope="module")
def machines(start_sshd: SshdFactory) -> tuple[Sshd, Sshd]:
    return start_sshd(), start_sshd()


def ssh_config(installed: Installed, name: str, machines: tuple[Sshd, Sshd]) -> Path:
    """Write an ssh_config of the user, who knows both machines and has their keys."""
    folder = installed.folder(name)
    lines = []
    for number, machine in enumerate(machines):
        key = folder / f"key-{number}"
        key.write_bytes(machine.identity.read_bytes())
        key.chmod(0o600)
        lines += [f"Host m{number}", "HostName 127.0.0.1", f"Port {machine.port}", f"User {machine.user}"]
        lines += [f'IdentityFile "{key}"', "IdentitiesOnly yes", f'UserKnownHostsFile "{folder}/known_hosts"']
    # As is usual with Testinfra: its ssh backend starts a program for every command, which shares one connection.
    lines += ["Host *", f'ControlPath "{folder}/%n"']
    (folder / "known_hosts").write_text("".join(machine.known_hosts() for machine in machines))
    (folder / "config").write_text("\n".join(lines) + "\n")
    give(folder)
    return folder / "config"


def test_on_this_machine(installed: Installed) -> None:
    folder = installed.folder("foreign local", SUITE)
    answer = installed.run(folder, "pytest", "--hosts=local://", "-rA", "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "5 passed" in answer.stdout
    assert {path.name for path in folder.iterdir() if path.name != "__pycache__"} == set(SUITE)


@pytest.mark.parametrize("scheme", ["ssh", "paramiko"])
def test_on_two_hosts_there_is_one_login_each(installed: Installed, machines: tuple[Sshd, Sshd], scheme: str) -> None:
    config = ssh_config(installed, f"ssh-{scheme}", machines)
    before = [machine.logins for machine in machines]
    folder = installed.folder(f"foreign {scheme}", SUITE)
    hosts = ",".join(f"{scheme}://m{number}" for number in range(2))
    answer = installed.run(folder, "pytest", f"--hosts={hosts}", f"--ssh-config={config}", "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "10 passed" in answer.stdout
    assert [machine.logins - logins for machine, logins in zip(machines, before, strict=True)] == [1, 1]


def test_each_host_is_inspected_once(installed: Installed, machines: tuple[Sshd, Sshd]) -> None:
    """sshd's log has one execution for our inspection, and one for the suite's own command."""
    config = ssh_config(installed, "ssh-once", machines)
    before = [machine.executions for machine in machines]
    folder = installed.folder("foreign once", SUITE)
    installed.run(folder, "pytest", "--hosts=ssh://m0,ssh://m1", f"--ssh-config={config}", "-p", "no:cacheprovider")
    assert [machine.executions - count for machine, count in zip(machines, before, strict=True)] == [2, 2]


def test_two_hosts_of_one_name_are_not_confused(installed: Installed, machines: tuple[Sshd, Sshd]) -> None:
    """Testinfra's ids have no port: both are ssh://127.0.0.1 there."""
    config = ssh_config(installed, "ssh-ports", machines)
    text = config.read_text()
    known = text.partition("UserKnownHostsFile ")[2].partition("\n")[0]
    keys = [line for line in text.splitlines() if line.startswith("IdentityFile")]
    config.write_text(
        "\n".join(["Host *", *keys, f"UserKnownHostsFile {known}", f'ControlPath "{config.parent}/%p"']) + "\n"
    )
    before = [machine.logins for machine in machines]
    folder = installed.folder("foreign ports", {"test_one.py": ASKS})
    hosts = ",".join(f"ssh://{machine.user}@127.0.0.1:{machine.port}" for machine in machines)
    answer = installed.run(folder, "pytest", f"--hosts={hosts}", f"--ssh-config={config}", "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert [machine.logins - logins for machine, logins in zip(machines, before, strict=True)] == [1, 1]


def test_a_host_that_is_unreachable_is_an_error_and_tried_once(installed: Installed) -> None:
    folder = installed.folder("foreign unreachable", SUITE)
    answer = installed.run(folder, "pytest", "--hosts=ssh://127.0.0.1:1", "-q", "-p", "no:cacheprovider")
    assert answer.returncode == 1
    assert "4 errors" in answer.stdout
    assert "ConnectionFailed" in answer.stdout


def test_what_is_undecided_is_neither_true_nor_false(installed: Installed) -> None:
    test = """
import pytest
from nested_kvm import observe

def test_it(host):
    seen = observe(host)
    seen._machine.bundle.readings.clear()
    with pytest.raises(Exception, match="may or may not nest"):
        bool(seen.can_nest)
    with pytest.raises(AttributeError, match="there is no fact 'next_lod'"):
        seen.next_lod
"""
    folder = installed.folder("foreign undecided", {"test_it.py": test})
    answer = installed.run(folder, "pytest", "--hosts=local://", "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stdout


def test_a_program_without_pytest_observes(installed: Installed) -> None:
    program = "from nested_kvm import observe; seen = observe('local://'); print(seen.diagnosis, seen.runs_vms)"
    answer = installed.run(installed.folder("a program"), "python", "-c", program)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("local:// can")


CONTROL = '''
from nested_kvm import Cause, Severity, control, require


@control("SITE-RUNNER-01", severity=Severity.HIGH, causes=[Cause.FLAG_MISSING])
def test_the_runner_prints(host, nested_kvm):
    """The runner prints what it is told.

    A control of a site in a suite of its own.
    """
    require(host.check_output("echo me") == "me", Cause.FLAG_MISSING, "it prints something else")
    require(nested_kvm.identity.kernel_release == "{kernel}", Cause.FLAG_MISSING, "another kernel")
'''


def test_a_sites_own_control_works_in_a_foreign_suite(installed: Installed) -> None:
    kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
    files = {"test_good.py": CONTROL.replace("{kernel}", kernel), "test_bad.py": CONTROL.replace("{kernel}", "0")}
    folder = installed.folder("foreign control", files)
    answer = installed.run(folder, "pytest", "--hosts=local://", "-p", "no:cacheprovider")
    assert answer.returncode == 1
    assert "1 failed, 1 passed" in answer.stdout, answer.stdout
    assert "another kernel" in answer.stdout


def test_the_user_is_an_ordinary_one(installed: Installed) -> None:
    answer = installed.run(installed.folder("who"), "python", "-c", "import os; print(os.getuid())")
    assert int(answer.stdout) != 0
    assert USER
