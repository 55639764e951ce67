"""One Salt job over three minions, judged as a direct run over SSH would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nested_kvm.evidence.probe import readable_probe
from tests.support.estate import (
    NAMES,
    assert_judged_alike,
    import_answers,
    left_behind,
    places,
    run_directly,
    start_machines,
    write_inventory,
)
from tests.support.salt import SaltMaster
from tests.support.schema import assert_valid
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("salt", "sshd", "accounts")

JOB = ("cmd.run_stdout", readable_probe(), "shell=/bin/sh", "output_encoding=utf-8", "output_loglevel=quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("salt")


@pytest.fixture(scope="module")
def master(folder: Path) -> Iterator[SaltMaster]:
    master = SaltMaster(folder)
    master.start()
    yield master
    master.stop()


@pytest.fixture(scope="module")
def inventory(folder: Path, master: SaltMaster, start_sshd: SshdFactory) -> Path:
    """Machines with an sshd and a minion each."""
    machines = start_machines(start_sshd, {name: master.minion(name) for name in NAMES})
    master.wait_for(NAMES)
    return write_inventory(folder, machines)


@pytest.fixture(scope="module")
def direct(inventory: Path) -> SuiteRun:
    return run_directly(inventory)


@pytest.fixture(scope="module")
def judged(folder: Path, inventory: Path, master: SaltMaster) -> SuiteRun:
    before = places()
    (folder / "answers.json").write_text(master.job(NAMES, *JOB))
    assert left_behind(before) == []
    ended = import_answers(
        folder, "--from=salt", f"--inventory={inventory}", f"--to={folder}/evidence", folder / "answers.json"
    )
    assert (ended.returncode, ended.stdout) == (0, "3 evidence files, 3 with an answer\n"), ended.stderr
    return run_suite(f"--evidence={folder}/evidence", report_dir=folder / "judged")


def test_every_minion_is_judged_as_a_direct_run_judges_it(judged: SuiteRun, direct: SuiteRun) -> None:
    assert_judged_alike(judged, direct)
    assert_valid(judged)


def test_each_answer_is_its_own_minions(judged: SuiteRun) -> None:
    outcomes = {name: judged.outcomes(name) for name in NAMES}
    assert outcomes["kvm-a"]["L0-CPU-01"] == outcomes["ci-1"]["L1-CPU-01"] == "pass"
    assert outcomes["ci-2"]["L1-CPU-01"] == "fail"


def test_a_minion_that_was_not_asked_is_an_error_of_its_own(master: SaltMaster, folder: Path, inventory: Path) -> None:
    (folder / "two.json").write_text(master.job(NAMES[:2], *JOB))
    ended = import_answers(
        folder, "--from=salt", f"--inventory={inventory}", f"--to={folder}/partly", folder / "two.json"
    )
    assert (ended.returncode, ended.stderr) == (6, "ci-2: the engine has no answer from it\n")
    run = run_suite(f"--evidence={folder}/partly", report_dir=folder / "partly-judged")
    assert run.target("ci-2")["error"] == "ci-2: the engine has no answer from it"
    assert run.target("ci-1")["observed"]
