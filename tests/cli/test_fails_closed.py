"""A host that could not be reached, or no host at all, passes in no mode, and in no report."""

import json
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading, Status
from tests.support.recorded import record
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_many, run_suite

MODES = {
    "": 6,
    "--gate": 1,
    "--fail-on=critical": 6,
    "--fail-on=critical --gate": 1,
    "--fail-on-drift --baseline={baseline}": 6,
    "--fail-on-drift --baseline={baseline} --gate": 1,
    "--waivers={waivers}": 6,
    "--waivers={waivers} --gate": 1,
    "--domain-xml={domain}": 6,
    "--domain-xml={domain} --gate": 1,
    "--nagios": 3,
    "--nagios --fail-on=critical": 3,
    "--nagios --waivers={waivers}": 3,
    "--nagios --fail-on-drift --baseline={baseline}": 3,
    "--nagios --domain-xml={domain}": 3,
    "-k cpu_shows": 6,
    "-k cpu_shows --nagios": 3,
    "-x": 6,
    "-x --nagios": 3,
}
"""A mode, and the exit status of a run in which one of two hosts was unreachable."""

NO_HOST = ["", "--gate", "--fail-on=critical", "--domain-xml={domain}", "--waivers={waivers}"]
EMPTY = ["--inventory={empty}", "--hosts=,", "--evidence={folder}/none", "--inventory={folder}/absent.yaml"]

DOMAIN = "<domain type='kvm'><name>ci-new</name><cpu mode='host-passthrough'/></domain>"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("closed")
    (folder / "none").mkdir()
    places = {name: folder / name for name in ("waivers", "domain", "empty", "fleet", "baseline")}
    entry = {"control": "*", "target": "*", "reason": "all of it", "approver": "nobody", "permanent": True}
    places["waivers"].write_text(json.dumps({"waivers": [entry]}))
    places["domain"].write_text(DOMAIN)
    places["empty"].write_text("hosts: {}\n")
    hosts = "hosts: {kvm-a: {address: 'ssh://kvm-a'}, kvm-b: {address: 'ssh://kvm-b'}}\n"
    places["fleet"].write_text(hosts)
    record(folder / "evidence", "kvm-a")
    return {**places, "folder": folder}


@pytest.fixture(scope="module")
def unreachable(places: Mapping[str, Path]) -> Path:
    """The evidence of a run in which `kvm-b` refused its connection, beside a recorded `kvm-a`."""
    folder = places["folder"]
    inventory = folder / "refusing.yaml"
    inventory.write_text("hosts: {kvm-b: {address: 'ssh://127.0.0.1:1'}}\n")
    run = run_suite(f"--inventory={inventory}", report_dir=folder / "refusing")
    assert "cannot be reached" in run.target("kvm-b")["error"]
    (folder / "evidence" / "kvm-b.json").write_bytes((run.reports / "evidence" / "kvm-b.json").read_bytes())
    places["baseline"].write_bytes((run.reports / "results.json").read_bytes())
    return folder / "evidence"


@pytest.fixture(scope="module")
def modes(places: Mapping[str, Path], unreachable: Path) -> Mapping[str, SuiteRun]:
    """Every mode, in one process; a folder of reports for each, as `latest` is the last."""
    folders = {mode: places["folder"] / "modes" / str(number) for number, mode in enumerate(MODES)}
    lines = [
        [f"--evidence={unreachable}", *(word.format(**places) for word in mode.split()), f"--report-dir={folder}"]
        for mode, folder in folders.items()
    ]
    runs = run_many(lines, report_dir=places["folder"] / "reports")
    return {mode: replace(run, report_dir=folders[mode]) for mode, run in zip(MODES, runs, strict=True)}


@pytest.mark.parametrize("mode", MODES)
def test_an_unreachable_host_passes_in_no_mode(modes: Mapping[str, SuiteRun], mode: str) -> None:
    run = modes[mode]
    assert run.status == MODES[mode]
    assert "COMPLIANT" not in {line.partition(" ")[0] for line in run.output.splitlines()}
    assert bool([line for line in run.output.splitlines() if line.startswith("kvm-b  BLOCK  ")]) == ("--gate" in mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_unreachable_host_passes_in_no_report(modes: Mapping[str, SuiteRun], mode: str) -> None:
    run = modes[mode]
    assert run.document["run"]["exit_status"] in {1, 6}
    of_host = [each for each in run.document["results"] if each["target"] == "kvm-b"]
    assert {each["outcome"] for each in of_host} <= {"error", "notapplicable"}
    assert any(case.find("error") is not None for case in run.junit.iter("testcase"))


@pytest.mark.parametrize(("mode", "status"), [("", 6), ("--gate", 1), ("--nagios", 3)])
def test_an_unreachable_host_does_not_pass_because_nothing_is_asked_of_it(
    places: Mapping[str, Path], unreachable: Path, mode: str, status: int
) -> None:
    words = [f"--evidence={unreachable}", "-k", "kvm-a", *mode.split()]
    (run,) = run_many([words], report_dir=places["folder"] / f"narrow{mode}")
    assert run.status == status
    assert {each["target"] for each in run.document["results"]} == {"kvm-a"}


@pytest.mark.parametrize("mode", NO_HOST)
def test_a_run_of_no_host_passes_in_no_mode(places: Mapping[str, Path], mode: str) -> None:
    lines = [[word.format(**places) for word in [source, *mode.split()]] for source in EMPTY]
    for run in run_many(lines, report_dir=places["folder"] / "no-host"):
        assert (run.status, run.output) == (4, "")
        assert not run.report_dir.exists()


@pytest.mark.parametrize("source", EMPTY)
def test_a_run_of_no_host_is_unknown_to_nagios(places: Mapping[str, Path], source: str) -> None:
    run = run_suite("--nagios", source.format(**places), report_dir=places["folder"] / "no-host")
    assert run.status == 3
    assert run.output.startswith("NESTED-KVM UNKNOWN - ")
    assert not run.report_dir.exists()


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
def test_nagios_is_told_unknown_whatever_breaks(places: Mapping[str, Path], name: str) -> None:
    folder = places["folder"]
    record(folder / "one", "kvm-a")
    run = run_suite("--nagios", f"--evidence={folder}/one", *BROKEN[name], report_dir=folder / "broken")
    assert run.status == 3
    assert run.output.startswith("NESTED-KVM UNKNOWN - ")
    assert "  PASS" not in run.output


@pytest.mark.parametrize("words", [["--maxfail=many"], ["-p", "no_such_plugin"]], ids=" ".join)
def test_what_pytest_refuses_by_itself_is_out_of_bounds(places: Mapping[str, Path], words: list[str]) -> None:
    """It does not get as far as any plugin of its own. Nagios takes 4 for a failure of the plugin."""
    run = run_suite("--nagios", f"--evidence={places['folder']}/one", *words, report_dir=places["folder"] / "early")
    assert (run.status, run.output) == (4, "")


def test_nagios_is_told_unknown_by_a_crash(places: Mapping[str, Path], tmp_path: Path) -> None:
    """A conftest of a site's own that breaks pytest itself."""
    plugin = tmp_path / "crashing.py"
    plugin.write_text("def pytest_runtestloop():\n    raise RuntimeError('crash')\n")
    arguments = command_line(
        "--nagios", f"--evidence={places['folder']}/evidence", "-p", "crashing", report_dir=tmp_path / "reports"
    )
    home = {**environment(tmp_path), "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(arguments, cwd=ROOT, env=home, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert ended.stdout.startswith("NESTED-KVM UNKNOWN - no verdict: the run ended with exit status 3 | ")


def test_nagios_is_told_unknown_by_an_interrupted_run(tmp_path: Path) -> None:
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
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=40)
            visitor.close()
    assert process.returncode == 3
    assert output.startswith("NESTED-KVM UNKNOWN - no verdict: the run ended with exit status 2 | ")


NO_ANSWER = Reading("", Status.FAILED, "modprobe: FATAL: Module kvm_amd not found in directory /lib/modules/6", 1)
STATES = {
    "compliant": ({}, "", 0, "OK"),
    "found": ({"refusal": "Connection refused"}, "", 2, "CRITICAL"),
    "of lower severity": ({"refusal": "Connection refused"}, "--fail-on=critical", 1, "WARNING"),
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
