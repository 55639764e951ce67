"""What can go wrong with a lab, one class for each thing a person would do next.

Every message is one line that stands on its own: the command line prints it and nothing else.
"""


class LabError(Exception):
    """Anything that ends a lab command; its text is the whole answer."""


class NeedsError(LabError):
    """This machine lacks something: a package, a right, room or a port."""


class BuildError(LabError):
    """The image could not be built."""


class RemoteError(LabError):
    """A command inside the lab failed."""


class SilentError(RemoteError):
    """A machine of the lab no longer answers, though its process may live: emulation hangs now and then."""


class HostLostError(LabError):
    """The emulated host died or stopped answering; a new one may do better."""


class GuestHungError(LabError):
    """A guest did not answer in time; a power cycle may do better."""


class NotRunningError(LabError):
    """The verb needs a lab that is up."""
