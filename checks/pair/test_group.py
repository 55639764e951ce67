from nested_kvm import Cause, GroupComparison, Level, NotApplicable, Severity, Undecided, control, require


@control(
    "PAIR-02",
    severity=Severity.LOW,
    subject_level=Level.L0,
    causes=[Cause.HOSTS_DIFFER],
)
def test_the_hosts_of_a_group_agree(group_comparison: GroupComparison) -> None:
    """Hosts that guests may migrate between agree: the CPU's vendor, nested and the KVM module's options.

    A guest that nests on one host, and is migrated to another that gives it less, cannot go on as it was. The host
    that differs from most of its group is the one that is reported; where there is no majority, each of them.

    Unknown: a host of the group was not looked at, or what is compared could not be read, and the others agree.
    """
    if group_comparison.group is None:
        raise NotApplicable("the inventory gives this host no `group`")
    if not group_comparison.others:
        raise NotApplicable(f"it is the only host of the group {group_comparison.group}")
    differences = group_comparison.differences
    message = "; ".join(f"{each.source}: {each.text}" for each in differences)
    require(not differences, Cause.HOSTS_DIFFER, message, *differences)
    if group_comparison.unseen:
        raise Undecided("; ".join(group_comparison.unseen))
