"""The answer for Nagios and Icinga: one line, its performance data, and UNKNOWN whatever breaks."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading, Status
from tests.support.recorded import SAVES_GUESTS, record
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_suite

BROKEN = {
    "an unknown option": ["--no-such-option"],
    "a word for a number": ["--forks=many"],
    "an unknown severity": ["--fail-on=urgent"],
    "a check that is not there": ["checks/l0/test_absent.py"],
    "nothing collected": ["-k", "no_such_control"],
    "only listed": ["--collect-only"],
    "nothing applies": ["-k", "explicit"],
    "another folder's settings": ["-c", "/dev/null"],
    "no file of waivers": ["--waivers=/absent.yaml"],
    "no file of a domain": ["--domain-xml=/absent.xml"],
}


@pytest.mark.parametrize("name", BROKEN)
def test_nagios_is_told_unknown_whatever_breaks(tmp_path: Path, name: str) -> None:
    record(tmp_path / "one", "kvm-a")
    run = run_suite("--nagios", f"--evidence={tmp_path}/one", *BROKEN[name], report_dir=tmp_path / "broken")
    assert run.status == 3
    assert run.output.startswith("NESTED-KVM UNKNOWN - ")
    assert "  PASS" not in run.output


@pytest.mark.parametrize("words", [["--maxfail=many"], ["-p", "no_such_plugin"]], ids=" ".join)
def test_what_pytest_refuses_by_itself_is_out_of_bounds(tmp_path: Path, words: list[str]) -> None:
    """It does not get as far as any plugin of its own. Nagios takes 4 for a failure of the plugin."""
    record(tmp_path / "one", "kvm-a")
    run = run_suite("--nagios", f"--evidence={tmp_path}/one", *words, report_dir=tmp_path / "early")
    assert (run.status, run.output) == (4, "")


def test_nagios_is_told_unknown_by_a_crash(tmp_path: Path) -> None:
    """A conftest of a site's own that breaks pytest itself."""
    record(tmp_path / "evidence", "kvm-a")
    plugin = tmp_path / "crashing.py"
    plugin.write_text("def pytest_runtestloop():\n    raise RuntimeError('crash')\n")
    arguments = command_line(
        "--nagios", f"--evidence={tmp_path}/evidence", "-p", "crashing", report_dir=tmp_path / "reports"
    )
    home = {**environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(arguments, cwd=ROOT, env=home, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 3
    assert ended.stdout.startswith("NESTED-KVM UNKNOWN - ")
    assert "the run ended before everything was evaluated" in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_nagios_is_told_unknown_by_an_interrupted_run(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        inventory = tmp_path / "fleet.yaml"
        port = silent.getsockname()[1]
        inventory.write_text(f"hosts: {{kvm-a: {{address: 'ssh://127.0.0.1:{port}', level: L0}}}}\n")
        words = ["--nagios", f"--inventory={inventory}", "--connect-timeout=50"]
        with subprocess.Popen(
            command_line(*words, report_dir=tmp_path / "reports"),
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            visitor, _ = silent.accept()
            process.send_signal(number)
            output, _ = process.communicate(timeout=40)
            visitor.close()
    assert process.returncode == 3
    assert output.startswith("NESTED-KVM UNKNOWN - ")
    assert "the run ended before everything was evaluated" in output


NO_ANSWER = Reading("", Status.FAILED, "modprobe: FATAL: Module kvm_amd not found in directory /lib/modules/6", 1)
STATES = {
    "compliant": ({}, "", 0, "OK"),
    "found": ({"readings": SAVES_GUESTS}, "", 2, "CRITICAL"),
    "of lower severity": ({"readings": SAVES_GUESTS}, "--fail-on=critical", 1, "WARNING"),
    "unreadable": ({"readings": {"/proc/cpuinfo": Reading("", Status.UNREADABLE)}}, "", 3, "UNKNOWN"),
    "undecided": (
        {"readings": {"modprobe --show-depends kvm_amd": Reading("", Status.FAILED, "", 1)}},
        "",
        3,
        "",
    ),
}


def found(run: SuiteRun) -> dict[str, float]:
    """Read the performance data as Nagios' guidelines describe it: `label=value[UOM];warn;crit;min;max`."""
    first = run.output.splitlines()[0]
    assert first.count("|") == 1
    return {
        label: float(value.partition(";")[0].removesuffix("s"))
        for label, _, value in (word.partition("=") for word in first.partition("| ")[2].split())
    }


@pytest.mark.parametrize("name", STATES)
def test_nagios_is_told_the_state_in_one_line_with_performance_data(tmp_path: Path, name: str) -> None:
    given, mode, status, word = STATES[name]
    record(tmp_path / "evidence", "kvm-a", **given)  # type: ignore[arg-type]
    run = run_suite("--nagios", f"--evidence={tmp_path}/evidence", *mode.split(), report_dir=tmp_path / "reports")
    assert run.status == status
    assert run.output.startswith(f"NESTED-KVM {word}")
    assert run.errors == ""
    outcomes = [each["outcome"] for each in run.document["results"]]
    data = found(run)
    assert (data["targets"], data["unreachable"]) == (1, 0)
    assert (data["findings"], data["errors"]) == (outcomes.count("fail"), outcomes.count("error"))
    assert data["unknown"] == outcomes.count("unknown")


def test_what_a_target_is_called_is_no_performance_data(tmp_path: Path) -> None:
    inventory = tmp_path / "fleet.yaml"
    inventory.write_text('hosts: {"kvm | findings=0 \\u00e9": {address: "ssh://127.0.0.1:1"}}\n')
    run = run_suite("--nagios", f"--inventory={inventory}", report_dir=tmp_path / "reports")
    assert run.status == 3
    assert found(run)["unreachable"] == 1
    assert run.output.splitlines()[1].startswith("kvm / findings=0 ? BLOCK ")
    assert run.output.count("|") == 1
    assert run.output.isascii()
