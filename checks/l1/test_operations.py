import pytest

from nested_kvm import Answer, Cause, NestedActivity, Severity, Undecided, control, require


@pytest.mark.maintenance
@control("L1-OPS-01", is_about_operations=True, severity=Severity.HIGH, causes=[Cause.L2_RUNNING])
def test_no_l2_runs_in_the_guest(nested_activity: NestedActivity) -> None:
    """No L2 runs in the guest.

    The guest must not be migrated, saved, snapshotted or rebooted while a process in it runs a VM.

    Unknown: KVM is in use, and no process was found to run a VM: only root can inspect those of other accounts; or the
    modules of VirtualBox or VMware are loaded, whose VMs KVM does not show.
    """
    if nested_activity.runs is Answer.UNKNOWN:
        raise Undecided(nested_activity.reason, *nested_activity.evidence)
    running = nested_activity.runs is Answer.YES
    require(not running, Cause.L2_RUNNING, f"an L2 runs: {nested_activity.reason}", *nested_activity.evidence)
