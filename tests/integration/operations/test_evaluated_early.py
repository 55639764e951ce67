"""A host that answers is evaluated while another has not; and the reports do not show which was the first."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import REPORTS, ROOT, environment, run_suite

pytestmark = [pytest.mark.alone, pytest.mark.needs("sshd", "accounts")]

NAMES = ("kvm-slow", "kvm-a", "kvm-b")
FLEET = "hosts:\n" + "".join(f"  {name}: {{address: 'ssh://{name}', libvirt: none, level: L1}}\n" for name in NAMES)
VOLATILE = re.compile(
    r"20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?(?: UTC)?)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?<=\")[0-9a-f]{64}(?=\")|\b\d\d-\w\w\w-\d{4} at [\d:]+"
    r"|(?<=\"time\": )\d{13}|(?<= time=\")[\d.]+|(?<=_seconds )[\d.e+]+|(?<=\}) 1\.[\d.e+]+|(?<=duration\": )[\d.]+"
    r"|took [\d:]+(?: ms)?\.|, \d+ s(?=[,<\n])"
)
"""Times, and what is random in each run."""
OF_THE_RUN = {"SHA256SUMS", "results.json"}
"""What names its own evidence, or the files that it was given; a part of `results.json` is compared."""


@pytest.fixture
def machines(start_sshd: SshdFactory) -> dict[str, Sshd]:
    prompt, slow = (start_sshd(prelude=PLAIN_GUEST, settings=["MaxStartups 100"]) for _ in range(2))
    slow.add_program(
        "uname", f'#!/bin/sh\nuntil [ -e {release(slow)} ]; do sleep 0.1; done\nexec /usr/bin/uname "$@"\n'
    )
    return {"kvm-slow": slow, "kvm-a": prompt, "kvm-b": prompt}


def release(slow: Sshd) -> Path:
    """The file for which the slow host waits: beside its programs, where its accounts may enter."""
    return slow.directory / "release"


def test_a_verdict_is_there_before_the_last_host_answers(machines: dict[str, Sshd], tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    options = [f"--inventory={tmp_path}/fleet.yaml", f"--ssh-config={ssh_config(tmp_path, machines)}", "--gate"]
    options += [f"--report-dir={tmp_path}/reports", "--probe-timeout=600", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-u", "-m", "pytest", *options]
    seen = []
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line)
            if {"kvm-a", "kvm-b"} <= {each.split()[0] for each in seen if "  BLOCK  " in each}:
                break
        assert not any(line.startswith("kvm-slow") for line in seen)
        release(machines["kvm-slow"]).touch()
        rest = process.stdout.readlines()
    assert any(line.startswith("kvm-slow  BLOCK  L1-CPU-01 0 of 2 vCPUs show svm") for line in rest), "it has answered"

    live = tmp_path / "reports" / "latest"
    saved = [options[0], f"--evidence={live}/evidence", "--gate", "-p", "no:hypothesispytest"]
    again = run_suite(*saved, report_dir=tmp_path / "again")
    for name in REPORTS - OF_THE_RUN:
        one, other = (re.sub(VOLATILE, "…", (folder / name).read_text()) for folder in (live, again.reports))
        assert one == other, name
    document = json.loads((live / "results.json").read_text())
    for part in ("results", "diagnoses", "answers", "problems", "exposures"):
        assert document[part] == again.document[part], part
