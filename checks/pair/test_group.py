from nested_kvm import Cause, GroupComparison, Level, NotApplicable, Severity, Undecided, control, require


@control(
    "PAIR-02",
    severity=Severity.LOW,
    subject_level=Level.L0,
    causes=[Cause.HOSTS_DIFFER],
)
def test_the_hosts_of_a_group_agree(group_comparison: GroupComparison) -> None:
    """Hosts that guests may migrate between have the same CPU vendor, nested value and KVM module options.

    A guest that nests on one host may stop working when it is migrated to a host that offers less. The host that
    differs from most of its group is reported; without a majority, each host is.

    Unknown: a host of the group was not inspected, or a compared value could not be read, and the others agree.
    """
    if group_comparison.group is None:
        raise NotApplicable("the inventory sets no `group` for this host")
    if not group_comparison.others:
        raise NotApplicable(f"it is the only host of the group {group_comparison.group}")
    differences = group_comparison.differences
    message = "; ".join(f"{each.source}: {each.text}" for each in differences)
    require(not differences, Cause.HOSTS_DIFFER, message, *differences)
    if group_comparison.unseen:
        raise Undecided("; ".join(group_comparison.unseen))
