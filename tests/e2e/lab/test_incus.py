"""A real Incus on the host: what the audit says of its list is what its QEMU processes have.

Run by `LAB_SUITE=incus make test-lab LABS=1 ARGS='-k incus'`. No guest is booted: a firmware that halts takes the place
of OVMF, under which QEMU's emulation of SVM ends.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from lab.config import HOST
from lab.session import Session
from tests.e2e.lab import audit
from tests.e2e.lab.audit import Report

LIMIT: Final = 300
"""Seconds for each script: the first command waits until Incus is up."""
HALT: Final = r"""
for file in /usr/share/OVMF/OVMF_CODE_4M*.fd; do
    test -L "$file" && continue
    size=$(stat -c %s "$file")
    rm "$file"
    truncate -s $((size - 16)) "$file"
    printf '\372\364\353\375\0\0\0\0\0\0\0\0\0\0\0\0' >>"$file"
done
"""
"""At the reset vector: cli; hlt; jmp to hlt."""
CREATE: Final = """
exec </dev/null 2>&1
set -e
incus storage create -q default dir
create() {
    name=$1
    shift
    incus init -q --empty "$name" -s default "$@"
}
virtual() { create "$@" --vm -c limits.memory=64MiB; }
virtual bare
virtual plain -c raw.qemu="-qmp unix:/run/plain.qmp,server=on,wait=off"
virtual without -c raw.qemu="-cpu host,-svm -qmp unix:/run/without.qmp,server=on,wait=off"
incus profile create late
incus profile set late raw.qemu="-qmp unix:/run/changed.qmp,server=on,wait=off"
virtual changed -p default -p late
virtual stopped
create box
"""
RUNNING: Final = ("bare", "plain", "without", "changed")
START: Final = f"set -e; for name in {' '.join(RUNNING)}; do incus start $name </dev/null; done"
STOP: Final = f"for name in {' '.join(RUNNING)}; do incus stop -f $name </dev/null; done"
CHANGE: Final = 'incus profile set late raw.qemu="-cpu host,-svm" </dev/null'
ASK: Final = """
import json, socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(60)
monitor.connect(f"/run/{sys.argv[1]}.qmp")
file = monitor.makefile("rw")
file.readline()
def ask(execute, **arguments):
    file.write(json.dumps({"execute": execute, "arguments": arguments}) + "\\n")
    file.flush()
    while True:
        answer = json.loads(file.readline())
        if "event" not in answer:
            return answer["return"]
ask("qmp_capabilities")
print(ask("qom-get", path=ask("query-cpus-fast")[0]["qom-path"], property="svm"))
"""


@pytest.fixture(scope="module")
def incus(lab: Session) -> Iterator[Session]:
    """The lab with virtual machines of Incus running; nested is on."""
    lab.host.shell.run(HALT)
    lab.host.shell.run(CREATE, limit=LIMIT)
    lab.host.shell.run(START, limit=LIMIT)
    refused = lab.host.shell.ask(CHANGE, limit=LIMIT)
    assert "cannot be updated when VM is running" in refused.err, "Incus saves it in the profile, and says this"
    yield lab
    lab.host.shell.run(STOP, limit=LIMIT)


def _audit(lab: Session, folder: Path) -> Report:
    """Audit the host with what Incus lists, where every guest must nest."""
    folder.mkdir()
    listed = lab.host.shell.run("incus list --all-projects --format json </dev/null", limit=LIMIT)
    (folder / "estate.json").write_text(listed)
    inventory = {
        "estate": {"file": "estate.json"},
        "hosts": {HOST: {}},
        "policy": {"nested": "required"},
        "guests": {"*": {"nested": "required"}},
    }
    (folder / "inventory.json").write_text(json.dumps(inventory))
    report = audit.run_on(lab, folder)
    assert not report.errors, f"everything can be inspected: {report.errors}"
    return report


def _has_svm(lab: Session, name: str) -> bool:
    """Whether the CPU of a running QEMU has the flag, by its own answer."""
    answer = lab.host.shell.run(f"python3 - {name} <<'END'\n{ASK}\nEND", limit=LIMIT)
    assert answer.strip() in {"True", "False"}
    return answer.strip() == "True"


def test_the_list_and_the_processes_are_read_as_they_are(incus: Session, tmp_path: Path) -> None:
    shown = {name: _has_svm(incus, name) for name in ("plain", "without", "changed")}
    assert shown == {"plain": True, "without": False, "changed": True}
    report = _audit(incus, tmp_path / "on")
    assert {name: report.outcome("DOM-CPU-02", name) for name in (*RUNNING, "stopped")} == {
        "bare": "pass",
        "plain": "pass",
        "without": "fail",
        "changed": "fail",
        "stopped": "pass",
    }
    assert {name: report.outcome("DOM-CPU-03", name) for name in RUNNING} == {
        "bare": "pass",
        "plain": "pass",
        "without": "pass",
        "changed": "fail",
    }
    assert any("box" in each for each in report.data["run"]["not_audited"]), "a container is left out, and said so"


def test_with_nested_off_no_guest_has_it(incus: Session, tmp_path: Path) -> None:
    incus.host.shell.run(STOP, limit=LIMIT)
    incus.host.set_nested(on=False)
    incus.host.shell.run(START, limit=LIMIT)
    assert not _has_svm(incus, "plain")
    report = _audit(incus, tmp_path / "off")
    assert report.outcome("L0-KVM-04", HOST) == "fail"
    assert {report.diagnosis(name)[0] for name in (*RUNNING, "stopped")} == {"no"}
