"""Whether a target is a container: its kernel is another machine's, and its files do not configure that kernel.

A line of `ls -l /proc/self/ns` is

    lrwxrwxrwx 1 root root 0 Nov 28 14:00 pid -> pid:[4026531836]

The namespaces in which the kernel starts have fixed numbers since Linux 3.8, whatever the distribution; those of a
container are made later and have others. Source: `PROC_PID_INIT_INO` and its kin in the kernel's
include/linux/proc_ns.h.
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_INITIAL: Final = {"pid": "4026531836", "user": "4026531837", "cgroup": "4026531835"}
_LINK: Final = re.compile(r".* (pid|user|cgroup) -> (?:pid|user|cgroup):\[(\d{1,19})\]", re.ASCII)
_KTHREADD: Final = "[kthreadd]"
"""The kernel's first thread has the pid 2 in the namespace in which the kernel starts (kernel_thread in rest_init)."""
_SCHEMES: Final = frozenset({"docker", "podman", "kubectl", "openshift", "lxc", "chroot"})
"""Schemes of addresses behind which there is no machine with its own kernel."""


@dataclass(frozen=True, slots=True)
class Containment:
    """Whether the target is a container; `reason` is a sentence.

    Source: `ls -l /proc/self/ns`, or in a support archive process 2 in the output of `ps`; and the address by which
    the target is reached.
    """

    is_container: Answer
    reason: str
    evidence: tuple[Evidence, ...] = ()


def containment_of(bundle: Bundle) -> Containment:
    """The answer of the address where that decides, else of the kernel's namespaces."""
    address = bundle.target.address
    if address is not None and address.scheme in _SCHEMES:
        return Containment(Answer.YES, f"the target is a container, by its address {address.scheme}://")
    thread = bundle.readings.get(sources.FIRST_THREAD)
    if thread is not None and thread.is_ok and thread.text.strip() == _KTHREADD:
        return Containment(
            Answer.NO, "the target is no container: it sees the kernel's threads", (thread.as_evidence(),)
        )
    try:
        lines = bundle.text(sources.NAMESPACES).splitlines()
    except ObservationError as error:
        return Containment(Answer.UNKNOWN, f"whether the target is a container is not known: {error}")
    found = {match[1]: match[2] for line in lines if (match := _LINK.fullmatch(line.strip()))}
    evidence = tuple(Evidence(f"/proc/self/ns/{name}", f"{name}:[{number}]") for name, number in found.items())
    own = [name for name, number in found.items() if number != _INITIAL[name]]
    if own:
        return Containment(
            Answer.YES,
            f"the target is a container: the kernel started in another namespace of {', '.join(own)}",
            evidence,
        )
    if "pid" not in found:
        return Containment(Answer.UNKNOWN, "whether the target is a container is not known: no pid namespace is shown")
    return Containment(Answer.NO, "the target is no container", evidence)
