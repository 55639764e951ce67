"""An example of a site's own check, not run under this name: copy it to `test_<what it is about>.py`."""

import testinfra.host

from nested_kvm import Severity, Target, control


@control("SITE-EXAMPLE-01", severity=Severity.LOW, architectures=None)
def test_the_target_reports_its_kernel(host: testinfra.host.Host, target: Target) -> None:
    """The target reports the release of its kernel.

    An example: it takes Testinfra's `host`, over the connection that carried the probe, and the inventory's
    `target`. A plain test without @control works as well.
    """
    assert host.check_output("uname -r"), f"{target.name} prints no kernel release"
