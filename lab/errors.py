"""The lab's errors, one class for each way to react.

Each message is one complete line: the command line prints nothing else.
"""


class LabError(Exception):
    """An error that ends a lab command."""


class NeedsError(LabError):
    """This machine lacks something: a package, a privilege, disk space or a port."""


class BuildError(LabError):
    """The image could not be built."""


class RemoteError(LabError):
    """A command inside the lab failed."""


class SilentError(RemoteError):
    """A machine of the lab does not answer any more, though its process may be alive."""


class HostLostError(LabError):
    """The emulated host died or hangs; starting it again may help."""


class GuestHungError(LabError):
    """A guest did not answer in time; a power cycle may help."""


class NotRunningError(LabError):
    """The lab is down and the verb needs it to be up."""
