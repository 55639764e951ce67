"""Whether a target is a container, by the numbers of the kernel's first namespaces."""

import os
import re
import subprocess
from dataclasses import replace

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.containment import containment_of
from nested_kvm.inventory.address import Address
from nested_kvm.model.answer import Answer
from tests.support.bundles import bundle_of, ok

FIRST = {"cgroup": 4026531835, "ipc": 4026531839, "mnt": 4026531841, "pid": 4026531836, "user": 4026531837}


def listed(**numbers: int | None) -> str:
    links = {name: number for name, number in {**FIRST, **numbers}.items() if number is not None}
    return "\n".join(f"lrwxrwxrwx 1 0 0 0 Nov 28 14:00 {name} -> {name}:[{number}]" for name, number in links.items())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (listed(), Answer.NO),
        (listed(mnt=4026532000, ipc=4026532001), Answer.NO),
        (listed(cgroup=None, user=None), Answer.NO),
        (listed(pid=4026532000), Answer.YES),
        (listed(user=4026532000), Answer.YES),
        (listed(cgroup=4026532000), Answer.YES),
        (listed(pid=None), Answer.UNKNOWN),
        (listed(pid=None, cgroup=4026532000), Answer.YES),
        ("", Answer.UNKNOWN),
        ("lrwxrwxrwx 1 0 0 0 Nov 28 14:00 pid -> x", Answer.UNKNOWN),
    ],
)
def test_the_namespaces_decide(text: str, answer: Answer) -> None:
    assert containment_of(bundle_of(ok(sources.NAMESPACES, text))).is_container is answer


@pytest.mark.parametrize("status", [Status.MISSING, Status.FAILED, Status.TIMED_OUT])
def test_what_was_not_read_is_no_answer(status: Status) -> None:
    assert containment_of(bundle_of(Reading(sources.NAMESPACES, status))).is_container is Answer.UNKNOWN
    assert containment_of(bundle_of()).is_container is Answer.UNKNOWN


@pytest.mark.parametrize("scheme", ["docker", "podman", "kubectl", "lxc"])
def test_an_address_of_a_container_decides_by_itself(scheme: str) -> None:
    bundle = bundle_of(ok(sources.NAMESPACES, listed()))
    there = replace(bundle, target=replace(bundle.target, address=Address.parse(f"{scheme}://it")))
    assert containment_of(there).is_container is Answer.YES


@pytest.mark.needs("accounts")
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--map-root-user"], {"user"}),
        (["--map-root-user", "--cgroup"], {"user", "cgroup"}),
        (["--map-root-user", "--pid", "--fork", "--mount-proc"], {"user", "pid"}),
    ],
    ids=["user", "cgroup", "pid"],
)
def test_a_real_namespace_is_seen(options: list[str], names: set[str]) -> None:
    """The reading as a real kernel gives it."""
    words = ["unshare", *options, *sources.NAMESPACES.split()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    found = containment_of(bundle_of(ok(sources.NAMESPACES, done.stdout)))
    assert found.is_container is Answer.YES
    assert names <= set(re.findall("[a-z]+", found.reason.rpartition(" of ")[2]))
