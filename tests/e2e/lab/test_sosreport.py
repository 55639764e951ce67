"""A real `sos report` of the host, and an audit of it in the same minute: no control is decided differently."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from lab.config import HOST
from lab.session import Session
from tests.e2e.lab import audit

ROOT = Path(__file__).resolve().parents[3]
PLUGINS: Final = "kernel,processor,hardware,host,date,process,block,filesys,libvirt,virsh,grub2,systemd,release"
REPORT: Final = (
    "rm -rf /var/tmp/sos && mkdir /var/tmp/sos && "
    f"sos report --batch --quiet -z gzip --tmp-dir /var/tmp/sos -o {PLUGINS} -k process.lsof=off -k process.samples=0 "
    ">/dev/null && base64 /var/tmp/sos/*.tar.gz && rm -rf /var/tmp/sos"
)
LIMIT: Final = 600
"""Seconds: emulated, sos takes minutes."""
DECIDED: Final = {"pass", "fail", "notapplicable"}


def test_a_sosreport_of_the_host_decides_nothing_differently(lab: Session, tmp_path: Path) -> None:
    packed = tmp_path / "sosreport.tar.gz"
    packed.write_bytes(base64.b64decode(lab.host.shell.run(REPORT, limit=LIMIT)))
    live = audit.run(lab, tmp_path / "live", [], nested="required")
    archived = _of_archive(tmp_path, packed)
    compared = [each for each in live.data["results"] if each["target"] == HOST]
    known = {(each["control"], each["subject"]): each for each in archived["results"]}
    both = [(each, known[each["control"], each["subject"]]) for each in compared if _key(each) in known]
    decided = [(one, other) for one, other in both if one["outcome"] in DECIDED and other["outcome"] in DECIDED]
    differing = [
        (one["control"], one["subject"], one["outcome"], other["outcome"], other["message"])
        for one, other in decided
        if (one["outcome"], one["cause"]) != (other["outcome"], other["cause"])
    ]
    assert differing == []
    assert len(decided) >= 20
    assert not any(each["outcome"] == "error" for each in archived["results"])


def _key(result: dict[str, str]) -> tuple[str, str]:
    return result["control"], result["subject"]


def _of_archive(folder: Path, packed: Path) -> dict[str, list[dict[str, str]]]:
    """The results of the archive, with the inventory of the live audit; the host has its name there."""
    inventory = json.loads((folder / "live" / "inventory.json").read_text())
    (folder / "inventory.json").write_text(json.dumps(_only_host(inventory, _name(packed))))
    command = [sys.executable, "-m", "pytest", "-q", f"--inventory={folder}/inventory.json", f"--evidence={packed}"]
    subprocess.run(
        [*command, f"--report-dir={folder}/archived"], cwd=ROOT, capture_output=True, check=False, timeout=300
    )
    text = (folder / "archived/latest/results.json").read_text()
    found: dict[str, list[dict[str, str]]] = json.loads(text.replace(json.dumps(_name(packed)), json.dumps(HOST)))
    return found


def _name(packed: Path) -> str:
    """The host's own name, which the archive has."""
    listed = subprocess.run(
        ["tar", "-xzOf", packed, "--wildcards", "*/sos_commands/host/hostname"], capture_output=True, check=True
    )
    return listed.stdout.decode().strip()


def _only_host(
    inventory: dict[str, dict[str, dict[str, object]]], name: str
) -> dict[str, dict[str, dict[str, object]]]:
    """The inventory with the host under its own name, and its guests without addresses."""
    (host,) = inventory["hosts"].values()
    guests = host.get("guests")
    plain = {guest: {"domain": guest} for guest in guests} if isinstance(guests, dict) else {}
    return {"hosts": {name: {**host, "guests": plain}}}
