from nested_kvm import (
    Cause,
    HostShutdown,
    Nested,
    NotApplicable,
    Severity,
    Target,
    Undecided,
    control,
    require,
)


@control(
    "L0-OPS-01",
    severity=Severity.HIGH,
    only=Nested.REQUIRED,
    causes=[Cause.SHUTDOWN_SAVES_GUESTS],
    architectures=None,
    references=["https://libvirt.org/manpages/libvirt-guests.html"],
)
def test_a_shutdown_of_the_host_saves_no_guest(host_shutdown: HostShutdown, target: Target) -> None:
    """The host's shutdown does not save guests that may run an L2.

    By upstream's default libvirt-guests suspends every guest, by Debian's it shuts them down. The memory of an L1 with
    a running L2, brought back, is undefined: the guest may come back broken.

    Unknown: nothing was seen to save guests, and a file that may say so, or the state of the unit, could not be read.
    """
    if target.libvirt is None:
        raise NotApplicable("the inventory says that there is no libvirt here")
    saving = host_shutdown.saving
    require(
        not saving, Cause.SHUTDOWN_SAVES_GUESTS, "; ".join(f"{each.source}: {each.text}" for each in saving), *saving
    )
    if host_shutdown.unknown:
        raise Undecided(host_shutdown.unknown, *host_shutdown.evidence)
