"""What cannot begin ends with 4 before anything is looked at, and names the culprit."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.suite import SuiteRun, run_many, run_suite

HOST = "hosts: {kvm-a: {address: 'ssh://127.0.0.1:1'}}\n"
EVIDENCE = '{"schema": "nested-kvm-compliance/evidence/1"}'

INVENTORIES = {
    "no hosts": ("hosts: {}\n", ":1: hosts: is empty: nothing to audit"),
    "an empty file": ("", ":1: the file: is empty: it must be a mapping"),
    "only a policy": ("policy: {nested: required}\n", ":1: hosts: is missing"),
    "an unknown key": (
        "hosts:\n  kvm-a:\n    adress: ssh://kvm-a\n",
        ":3: hosts.kvm-a.adress: unknown key",
    ),
    "an unknown policy word": (
        "policy:\n  persistence: explicit\n  nested: forbiden\n" + HOST,
        ":3: policy.nested: Input should be 'required', 'forbidden' or 'guarded'",
    ),
    "a host twice": (
        "hosts:\n  kvm-a: {}\n  kvm-b: {}\n  kvm-a: {}\n",
        ':4: found duplicate key "kvm-a": each may stand once',
    ),
    "a guest's name twice": (
        "hosts:\n  kvm-a:\n    guests:\n      ci-1: {}\n  kvm-b:\n    guests:\n      ci-1: {}\n",
        ":7: ci-1: duplicate name",
    ),
    "a guest named as a host": (
        "hosts:\n  kvm-a:\n    guests:\n      kvm-a: {}\n",
        ":4: kvm-a: duplicate name",
    ),
    "a list for a mapping": ("hosts:\n  - kvm-a\n  - kvm-b\n", ":1: hosts: must be a mapping"),
    "a list for a host": ("hosts:\n  kvm-a:\n    - address\n", ":2: hosts.kvm-a: must be a mapping"),
    "a tab": ("hosts:\n\tkvm-a: {}\n", ":2: found character '\\t' that cannot start any token: indent with spaces"),
    "no UTF-8": ("hosts:\n  kvm-\udcff: {}\n", ":2: is not UTF-8 text"),
    "a bad address": (
        "hosts:\n  kvm-a:\n    address: telnet://kvm-a\n",
        ":3: hosts.kvm-a.address: 'telnet://kvm-a' is not an address: telnet:// is unknown",
    ),
    "a bad port": (
        "hosts:\n  kvm-a:\n    address: ssh://kvm-a:99999\n",
        ":3: hosts.kvm-a.address: 'ssh://kvm-a:99999' is not an address: the port must be a number up to 65535",
    ),
    "a control character": (
        'hosts:\n  "kvm\\e[31m": {}\n',
        ":2: hosts.kvm [31m: a name has at least one visible character, and no control characters",
    ),
}
"""An inventory, and what follows its file's name in the message."""

OPTIONS = {
    "a pattern that matches nothing": (
        ["--inventory={good}", "--hosts=kvm-a,ci-*"],
        "--hosts: 'ci-*' matches no target of {good} (it has kvm-a)",
    ),
    "an inventory that is not there": (["--inventory={absent}"], "{absent}: No such file or directory"),
    "a level beside an inventory": (
        ["--inventory={good}", "--level=L0"],
        "--level is for a run by --hosts without an inventory",
    ),
    "a policy without hosts": (["--nested=forbidden"], "--nested is for a run by --hosts without an inventory"),
    "a libvirt beside an inventory": (
        ["--inventory={good}", "--libvirt=none"],
        "--libvirt is for a run by --hosts without an inventory",
    ),
    "a libvirt that is no URI": (["--hosts=kvm-a", "--libvirt=nowhere"], "--libvirt: 'nowhere' is not a libvirt URI"),
    "a policy beside evidence": (
        ["--evidence={bundles}", "--hosts=kvm-a", "--undeclared=any"],
        "--undeclared is for a run by --hosts without an inventory",
    ),
    "an L2 in evidence": (
        ["--evidence={bundles}", "--active"],
        "--active asks hosts and starts an L2 in guests, and --evidence",
    ),
    "an L2 before maintenance": (
        ["--hosts=kvm-a", "--active", "-m", "maintenance"],
        "--active starts an L2 in guests, and `-m maintenance` would find it",
    ),
    "an address without its option": (
        ["ssh://root:hidden@kvm-a"],
        "ssh://… is an address: hosts are given by --hosts=",
    ),
    "an inventory without its option": (
        ["inventories/local.yaml"],
        "inventories/local.yaml is not a file of checks: an inventory is given by --inventory=inventories/local.yaml",
    ),
    "a name without its option": (
        ["kvm-a"],
        "kvm-a: no such file or folder of checks; what to audit is given by --hosts=A,B or --inventory=FILE",
    ),
    "a name that no file can have": (["x" * 5000], "xxx…: no such file or folder of checks"),
    "an id of a target with an address": (
        ["--inventory={good}", "checks/absent.py::test_one[ssh://kvm-a]"],
        "checks/absent.py: no such file or folder",
    ),
    "checks that are not there": (
        ["--inventory={good}", "checks/absent.py"],
        "checks/absent.py: no such file or folder",
    ),
    "a control in place of checks": (["--inventory={good}", "L0-PER-01"], "a control is selected by -k L0-PER-01"),
    "no host": (["--hosts=,"], "--hosts names nothing"),
    "a host that is none": (["--hosts=ssh://kvm a"], "--hosts: 'ssh://kvm a' is not an address"),
    "a password": (["--hosts=ssh://root:secret@kvm-a"], "carries a password: use a key or an agent"),
    "no fork": (["--hosts=kvm-a", "--forks=0"], "--forks=0: at least one target"),
    "no time": (["--hosts=kvm-a", "--probe-timeout=0"], "--probe-timeout=0: a time limit is a positive number"),
    "an unknown severity": (["--hosts=kvm-a", "--fail-on=urgent"], "--fail-on"),
    "an unknown option": (["--hosts=kvm-a", "--no-such-option"], "unrecognized arguments: --no-such-option"),
    "an ssh-config that is not there": (["--hosts=kvm-a", "--ssh-config={absent}"], "{absent}: the ssh-config"),
    "evidence that is not there": (["--evidence={absent}"], "--evidence: {absent}: No such file or directory"),
    "the folder of a run as evidence": (
        ["--evidence={run}"],
        "--evidence: {run} is the folder of a run: give {run}/evidence",
    ),
    "any folder as an inventory": (
        ["--inventory={empty}"],
        "{empty}: is a folder without `nodes`, so it is not a copy of",
    ),
    "no evidence": (
        ["--evidence={empty}"],
        "--evidence: {empty} holds no *.json and no support archive: nothing to audit",
    ),
    "a report directory in a file's place": (
        ["--inventory={good}", "--report-dir={good}"],
        "--report-dir: {good}: File exists",
    ),
    "a report directory below a file": (
        ["--inventory={good}", "--report-dir={good}/reports"],
        "--report-dir: {good}/reports: Not a directory",
    ),
}
"""A command line, and a part of the message."""

Refusals = Mapping[str, tuple[SuiteRun, str]]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Refusals:
    """Every command line of this file, run; and what its message must hold."""
    folder = tmp_path_factory.mktemp("usage")
    places = {name: folder / name for name in ("good", "absent", "empty", "bundles", "run")}
    places["good"].write_text(HOST)
    places["empty"].mkdir()
    places["bundles"].mkdir()
    (places["run"] / "evidence").mkdir(parents=True)
    (places["run"] / "results.json").write_text("{}")
    (places["bundles"] / "kvm-a.json").write_text(EVIDENCE)
    cases: dict[str, tuple[list[str], str]] = {
        name: ([word.format(**places) for word in words], part.format(**places))
        for name, (words, part) in OPTIONS.items()
    }
    for number, (name, (text, part)) in enumerate(INVENTORIES.items()):
        path = folder / f"{number}.yaml"
        path.write_bytes(text.encode(errors="surrogateescape"))
        cases[name] = ([f"--inventory={path}"], f"{path}{part}")
    runs = run_many([words for words, _ in cases.values()], report_dir=folder / "reports")
    return {name: (run, part) for (name, (_, part)), run in zip(cases.items(), runs, strict=True)}


@pytest.mark.parametrize("case", [*OPTIONS, *INVENTORIES])
def test_what_cannot_begin_ends_with_4_and_names_the_culprit(refusals: Refusals, case: str) -> None:
    run, part = refusals[case]
    assert run.status == 4
    assert part in run.errors
    assert "Traceback" not in run.text
    assert "\x1b" not in run.text


def test_what_cannot_begin_leaves_no_report(refusals: Refusals) -> None:
    assert not next(iter(refusals.values()))[0].report_dir.exists()


def test_the_secret_of_an_address_is_not_printed(refusals: Refusals) -> None:
    assert "secret" not in refusals["a password"][0].text


def test_the_process_ends_with_that_status(tmp_path: Path) -> None:
    run = run_suite(f"--inventory={tmp_path}/absent.yaml", report_dir=tmp_path / "reports")
    assert (run.status, run.output) == (4, "")
    assert run.errors.splitlines() == [f"ERROR: {tmp_path}/absent.yaml: No such file or directory", ""]


def test_hosts_without_an_inventory_may_have_no_libvirt(tmp_path: Path) -> None:
    run = run_suite("--hosts=ssh://127.0.0.1:1", "--libvirt=none", report_dir=tmp_path / "none")
    name = run.document["targets"][0]["name"]
    assert run.evidence(name)["target"]["libvirt"] is None
    usual = run_suite("--hosts=ssh://127.0.0.1:1", report_dir=tmp_path / "usual")
    assert usual.evidence(name)["target"]["libvirt"] == "qemu:///system"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hosts=ssh://127.0.0.1:1", "--libvirt=maybe"], "--libvirt: 'maybe' is not a libvirt URI"),
        (["--libvirt=none"], "--libvirt is for a run by --hosts without"),
        (["--inventory=inventories/local.yaml", "--libvirt=none"], "--libvirt is for a run by --hosts without"),
    ],
)
def test_libvirts_uri_is_checked(tmp_path: Path, words: list[str], message: str) -> None:
    run = run_suite(*words, report_dir=tmp_path / "reports")
    assert (run.status, run.output) == (4, "")
    assert message in run.errors
