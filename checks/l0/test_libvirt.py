from nested_kvm import Cause, Libvirt, Nested, NotApplicable, Severity, control, require


@control(
    "L0-LIB-01",
    severity=Severity.HIGH,
    only=Nested.REQUIRED,
    causes=[Cause.LIBVIRT_UNREACHABLE],
    architectures=None,
)
def test_libvirt_answers(libvirt: Libvirt) -> None:
    """Libvirt answers, unless the inventory says that there is none.

    Where it does not, no domain can be judged, and none can be shut down and started to mend one.
    """
    if not libvirt.is_expected:
        raise NotApplicable("the inventory says that there is no libvirt here")
    require(libvirt.answers, Cause.LIBVIRT_UNREACHABLE, f"{libvirt.uri} does not answer: {libvirt.refusal}")
