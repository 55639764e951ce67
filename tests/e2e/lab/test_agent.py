"""A guest without a network gets the same results through its agent as over ssh."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import SilentError
from lab.session import Session
from tests.e2e.lab import audit

GUEST = "passthrough"
CONTROLS = ("L1-CPU-01", "L1-CPU-02", "L1-KVM-01", "L1-HYP-01", "PAIR-01")
CUT = "setsid sh -c 'sleep 1; ip link set eth0 down' >/dev/null 2>&1 </dev/null &"


@pytest.fixture
def guest_with_agent(lab: Session) -> Iterator[Session]:
    lab.restore([GUEST])
    yield lab
    # Its network is down.
    lab.stop_guest(GUEST)


def test_a_guest_without_network_is_audited_through_its_agent(guest_with_agent: Session, tmp_path: Path) -> None:
    lab = guest_with_agent
    over_ssh = audit.run(lab, tmp_path / "ssh", [GUEST], nested="required")
    shell = lab.host.guest(GUEST)
    shell.run(CUT)
    with pytest.raises(SilentError):
        shell.run("sleep 5; true", limit=30)
    through_agent = audit.run(lab, tmp_path / "agent", [], nested="required", by_agent=[GUEST])
    found = {control: through_agent.outcome(control, GUEST) for control in CONTROLS}
    assert found == {control: over_ssh.outcome(control, GUEST) for control in CONTROLS}
    assert found["L1-CPU-01"] == "pass"
    assert through_agent.diagnosis(GUEST) == over_ssh.diagnosis(GUEST) == ("yes", None, None)
