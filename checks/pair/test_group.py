from nested_kvm import (
    Cause,
    Evidence,
    Finding,
    GroupComparison,
    Informed,
    Level,
    NotApplicable,
    Severity,
    Undecided,
    control,
    require,
)


@control(
    "PAIR-02",
    severity=Severity.LOW,
    subject_level=Level.L0,
    causes=[Cause.HOSTS_DIFFER],
)
def test_the_hosts_of_a_group_agree(group_comparison: GroupComparison) -> None:
    """Hosts that guests may migrate between have the same CPU features, nested value and KVM module options.

    A guest that nests on one host may stop working when it is migrated to a host that offers less. The host that
    differs from most of its group is reported; without a majority, each host is.

    A guest with host-model or host-passthrough is started with the CPU features of its host, and does not move to one
    that lacks any. Where no guest of the group has such a CPU, features that differ are reported and are no finding.

    Unknown: a host of the group was not inspected, or a compared value could not be read, and the others agree; the
    group's guests are not known; or one requires a feature of VMX that no reading shows of this host: /proc/cpuinfo has
    no word for it, and libvirt's cached capabilities of QEMU were not read, or are outdated.
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
    features = group_comparison.features
    if features is None or not (features.lacking or features.unproven):
        return
    shown = tuple(Evidence("/proc/cpuinfo", f"lacks {' '.join(words)}") for words in features.lacking.values())
    if features.lacking and features.copying:
        raise Finding(Cause.HOSTS_DIFFER, f"{features.text}; guests: {', '.join(features.copying[:5])}", *shown)
    if features.unlisted:
        raise Undecided(f"{features.text}; which CPU the guests have is not known: {features.unlisted}", *shown)
    if features.lacking:
        raise Informed(f"{features.text}; no guest of the group has host-model or host-passthrough", *shown)
    required = ", ".join(features.unproven)
    raise Undecided(f"a guest of the group requires {required}, which no reading shows of this host", *shown)
