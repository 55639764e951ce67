"""One run over a healthy guest and one target for each thing that can go wrong with one."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory, free_port, make_key, public
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("sshd", "accounts")

MISBEHAVIOUR = {
    "cut": "/bin/sh -s | head -c 300",
    "empty": "cat >/dev/null",
    "binary": r"cat >/dev/null; printf '\377\376\033[31m\033]0;title\007\r'",
    "flood": "cat >/dev/null; exec yes",
    "chatty": "/bin/sh -s; exec yes",
    "hangs": "cat >/dev/null; exec sleep 100",
}
"""What sshd runs for a target's key in place of the probe."""

ERRORS = {
    "cut": "is not in the evidence: the answer ended in",
    "empty": "empty: the answer is empty (exit status 0)",
    "binary": "binary: the answer is not the probe's; it starts with",
    "flood": "flood: it wrote more than 4194304 bytes to standard output, and was closed",
    "hangs": "hangs: no complete answer within 4 s (--probe-timeout)",
    "refused": "unreachable (Connection refused): is it up, and is the port right?",
    "stranger": "is unknown. Once the fingerprint is verified, accept it with: echo ",
    "impostor": "is not the one in",
    "nowhere": "nowhere.invalid port 22): the host name does not resolve",
}

ASKED_ALWAYS = ("L1-CPU-01", "L1-CPU-02", "L1-CPU-03")
ASKED_OF_REQUIRED = dict.fromkeys(
    ("L1-HYP-01", "L1-KVM-01", "L1-KVM-02", "L1-KVM-03", "L1-KVM-04", "L1-NST-01"), "notapplicable"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, start_sshd: SshdFactory) -> Path:
    """A folder with an inventory of the healthy and the unlucky, and with the ssh_config that leads to them."""
    folder = tmp_path_factory.mktemp("unlucky")
    machine = start_sshd(prelude=PLAIN_GUEST)
    stranger, impostor = start_sshd(), start_sshd()
    keys = force_commands(machine, folder)
    config = ssh_config(folder, {"stranger": stranger, "impostor": impostor}, known=[])
    lines = [f"Host refused\nHostName 127.0.0.1\nPort {free_port()}"]
    lines += [entry(name, machine, keys[name]) for name in MISBEHAVIOUR]
    lines += [entry("healthy", machine, machine.identity), config.read_text()]
    config.write_text("\n".join(lines))
    known = machine.known_hosts() + machine.known_hosts(impostor.known_name)
    (folder / "known_hosts").write_text(known)
    names = ["healthy", *MISBEHAVIOUR, "refused", "stranger", "impostor"]
    hosts = "".join(f"  {name}: {{address: 'ssh://{name}', level: L1}}\n" for name in names)
    hosts += "  nowhere: {address: 'ssh://nowhere.invalid', level: L1}\n"
    (folder / "fleet.yaml").write_text(f"policy: {{nested: forbidden}}\nhosts:\n{hosts}")
    return folder


def force_commands(machine: Sshd, folder: Path) -> Mapping[str, Path]:
    """Give each misbehaviour a key."""
    keys = {name: make_key(folder / name) for name in MISBEHAVIOUR}
    lines = [public(machine.identity)]
    for name, command in MISBEHAVIOUR.items():
        quoted = f"/bin/sh -c {shlex.quote(command)}".replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'command="{quoted}" {public(keys[name])}')
    (machine.directory / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))
    return keys


def entry(name: str, machine: Sshd, key: Path) -> str:
    return f"Host {name}\nHostName 127.0.0.1\nPort {machine.port}\nUser {machine.user}\nIdentityFile {key}"


def audit(folder: Path, reports: str, *words: str) -> SuiteRun:
    options = [f"--inventory={folder}/fleet.yaml", f"--ssh-config={folder}/ssh_config", "--probe-timeout=4"]
    return run_suite(*options, *words, report_dir=folder / reports)


@pytest.fixture(scope="module")
def run(folder: Path) -> SuiteRun:
    return audit(folder, "all")


def test_a_target_that_could_not_be_looked_at_is_no_finding_and_no_pass(run: SuiteRun) -> None:
    assert run.status == run.document["run"]["exit_status"] == 6
    assert "NOT DECIDED: " in run.output
    assert {each["outcome"] for each in run.document["results"]} == {"pass", "error", "notapplicable"}


@pytest.mark.parametrize("name", ERRORS)
def test_each_unlucky_target_is_an_error_that_says_why(run: SuiteRun, name: str) -> None:
    assert run.outcomes(name) == {**dict.fromkeys(ASKED_ALWAYS, "error"), **ASKED_OF_REQUIRED}
    message = next(each["message"] for each in run.document["results"] if each["subject"] == name)
    assert ERRORS[name] in message
    assert message.isprintable()
    assert run.target(name)["error"] in {message, None}


def test_what_arrived_before_the_answer_was_cut_is_kept(run: SuiteRun) -> None:
    evidence = run.evidence("cut")
    assert run.target("cut")["observed"]
    assert evidence["failure"] is None
    kept, whole = ([each["source"] for each in found["readings"]] for found in (evidence, run.evidence("healthy")))
    assert 0 < len(kept) < len(whole)
    assert kept == whole[: len(kept)]
    assert evidence["cut"]


def test_a_whole_answer_counts_whatever_follows_it(run: SuiteRun) -> None:
    assert run.outcomes("chatty") == run.outcomes("healthy")
    assert run.evidence("chatty")["cut"] is None


def test_the_healthy_target_is_judged_as_if_alone(run: SuiteRun, folder: Path) -> None:
    alone = audit(folder, "alone", "--hosts=heal*")
    assert alone.status == 0
    assert "COMPLIANT" in alone.output.splitlines()
    assert [target["name"] for target in alone.document["targets"]] == ["healthy"]
    assert alone.document["results"] == [each for each in run.document["results"] if each["target"] == "healthy"]
    asked = {"L1-CPU-01": "pass", "L1-CPU-02": "notapplicable", "L1-CPU-03": "pass"}
    assert alone.outcomes("healthy") == {**asked, **ASKED_OF_REQUIRED}


def test_junit_calls_it_an_error_and_not_a_failure(run: SuiteRun) -> None:
    cases = [case for case in run.junit.iter("testcase") if case.find("error") is not None]
    broken = {(case.get("classname"), case.get("name")) for case in cases}
    assert broken == {(name, control) for name in ERRORS for control in ASKED_ALWAYS}
    assert list(run.junit.iter("failure")) == []
    suite = next(run.junit.iter("testsuite"))
    assert (suite.get("errors"), suite.get("failures")) == (str(len(broken)), "0")


def test_a_gate_blocks_what_could_not_be_looked_at(run: SuiteRun, folder: Path) -> None:
    gate = run_suite("--gate", f"--evidence={run.reports}/evidence", report_dir=folder / "gate")
    assert gate.status == 1
    lines = gate.output.splitlines()
    assert "healthy  PASS" in lines
    assert {line.partition("  ")[0] for line in lines if "  BLOCK  L1-CPU-01 " in line} == set(ERRORS)


def test_nothing_that_a_target_says_reaches_the_terminal_as_it_is(run: SuiteRun) -> None:
    assert "".join(run.text.split("\n")).isprintable()


def test_every_file_of_such_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)
