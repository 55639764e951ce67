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
    """Shutting down the host does not save guests that may run an L2.

    By default libvirt-guests suspends every guest upstream, and shuts them down on Debian. The memory of an L1 that is
    restored with a running L2 is undefined: the guest may come back broken.

    One polarity: only an L1 that runs an L2 is harmed, and where nesting is forbidden no guest may run one.

    Unknown: nothing was found that saves guests, but a file that may configure it, or the unit's state, could not be
    read.
    """
    if target.libvirt is None:
        raise NotApplicable("the inventory declares that this host has no libvirt")
    saving = host_shutdown.saving
    require(
        not saving, Cause.SHUTDOWN_SAVES_GUESTS, "; ".join(f"{each.source}: {each.text}" for each in saving), *saving
    )
    if host_shutdown.unknown:
        raise Undecided(host_shutdown.unknown, *host_shutdown.evidence)
