import pytest

from nested_kvm import Answer, Cause, NestedActivity, NotApplicable, Severity, Undecided, control, require

MIGRATION = "https://docs.kernel.org/virt/kvm/x86/running-nested-guests.html#migrating-an-l1-guest-with-a-live-nested-guest-in-it"


@pytest.mark.maintenance
@control(
    "DOM-OPS-01", is_about_operations=True, severity=Severity.HIGH, causes=[Cause.L2_RUNNING], references=[MIGRATION]
)
def test_no_l2_runs_in_the_domain(nested_activity: NestedActivity) -> None:
    """No L2 runs in the domain.

    Migrating, saving, snapshotting or restoring a domain with a live nested guest is undefined on AMD and hardly
    supported elsewhere; a reboot ends the nested guest. To be checked before any of them.

    A host without any domain is asked itself, so that its answer is not silence: none of its processes runs a VM.

    Unknown: the counters are missing, or stay at a value above 0, as they do while an L2 is idle.
    """
    if nested_activity.is_stopped:
        raise NotApplicable(nested_activity.reason, *nested_activity.evidence)
    if nested_activity.runs is Answer.UNKNOWN:
        raise Undecided(nested_activity.reason, *nested_activity.evidence)
    running = nested_activity.runs is Answer.YES
    require(not running, Cause.L2_RUNNING, f"an L2 runs: {nested_activity.reason}", *nested_activity.evidence)
