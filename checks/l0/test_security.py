from nested_kvm import Cause, KvmModule, Mitigations, NotApplicable, Severity, Undecided, control, require


@control(
    "L0-SEC-01",
    severity=Severity.MEDIUM,
    causes=[Cause.MITIGATION_MISSING],
    references=["https://docs.kernel.org/admin-guide/hw-vuln/multihit.html"],
)
def test_attacks_from_guests_are_mitigated(kvm_module: KvmModule, mitigations: Mitigations) -> None:
    """With nested on, iTLB multihit and L1TF are mitigated.

    Both let a guest reach its host, and nested page tables widen the way.
    """
    if not kvm_module.is_loaded or not kvm_module.nested:
        raise NotApplicable("nested is not on", *kvm_module.evidence)
    missing = mitigations.missing
    require(not missing, Cause.MITIGATION_MISSING, f"vulnerable to {', '.join(missing)}", *mitigations.evidence)
    if mitigations.unknown:
        message = f"the kernel says nothing of {', '.join(mitigations.unknown)}"
        raise Undecided(message, *mitigations.evidence)
