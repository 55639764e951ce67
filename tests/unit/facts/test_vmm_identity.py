"""Which process is which guest: what claims to be another is not taken for it."""

from collections.abc import Callable

import pytest

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.facts.kvm.vmm_process import VmmProcess, VmmProcesses
from nested_kvm.model.verdict import Undecided


def test_two_processes_of_one_name_or_uuid_are_neither() -> None:
    twins = VmmProcesses((VmmProcess(8, "kvm", "x", uuid="u"), VmmProcess(9, "kvm", "x", uuid="u")), are_all=True)
    asked: tuple[Callable[[], object], ...] = (
        lambda: twins.named("x"),
        lambda: twins.named("u"),
        lambda: twins.of_domain("u", "other"),
    )
    for ask in asked:
        with pytest.raises(Undecided, match="processes 8, 9") as raised:
            ask()
        assert isinstance(raised.value, ObservationError)
    assert twins.of_domain("another", "x") is None


def test_a_process_named_as_anothers_uuid_does_not_take_its_place() -> None:
    uuid = "9f5737ad-04b0-41f7-882c-99c327b51994"
    impostor, real = VmmProcess(8, "kvm", name=uuid), VmmProcess(9, "kvm", "ci-1", uuid=uuid)
    assert VmmProcesses((impostor, real), are_all=True).named(uuid) is real
    with pytest.raises(NotObserved):
        VmmProcesses((impostor,), are_all=True).named(uuid)
