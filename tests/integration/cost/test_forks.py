"""--forks=auto: more at once where that is possible, fewer where an sshd refuses them; no target is lost by it."""

from pathlib import Path

import pytest

from nested_kvm.evidence.pace import START
from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite

pytestmark = [pytest.mark.alone, pytest.mark.needs("sshd", "accounts")]

HOSTS = 60


def audit(folder: Path, start_sshd: SshdFactory, startups: str) -> SuiteRun:
    machine = start_sshd(prelude=PLAIN_GUEST, settings=[f"MaxStartups {startups}", "PerSourceMaxStartups none"])
    names = [f"kvm-{number}" for number in range(HOSTS)]
    hosts = "".join(f"  {name}: {{address: 'ssh://{name}', level: L1}}\n" for name in names)
    (folder / "fleet.yaml").write_text(f"hosts:\n{hosts}")
    config = ssh_config(folder, dict.fromkeys(names, machine))
    options = [f"--inventory={folder}/fleet.yaml", f"--ssh-config={config}", "--forks=auto", "--connect-timeout=60"]
    return run_suite(*options, report_dir=folder / "reports")


def highest(run: SuiteRun) -> int:
    return int(run.output.partition("--forks=auto: at most ")[2].split()[0])


def test_it_grows_where_every_target_answers(start_sshd: SshdFactory, tmp_path: Path) -> None:
    run = audit(tmp_path, start_sshd, "200")
    assert "--forks=auto: from 32 to 60 at once (limit: targets)" in run.output
    assert {target["error"] for target in run.document["targets"]} == {None}
    assert START <= highest(run) <= HOSTS
    assert "MaxStartups" not in run.output


def test_it_shrinks_where_connections_are_refused_and_asks_again(start_sshd: SshdFactory, tmp_path: Path) -> None:
    run = audit(tmp_path, start_sshd, "4:100:4")
    assert "early (MaxStartups?)" in run.output
    assert {target["error"] for target in run.document["targets"]} == {None}
