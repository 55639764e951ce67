from dataclasses import replace

import pytest
from hypothesis import given

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.kvm_module import KvmModule, kvm_module_of
from tests.support.bundles import any_status, any_text, bundle_of, ok


def module(parameters: str, values: str = "initstate=live\nrefcnt=3", modules: str = "kvm\nkvm_amd") -> KvmModule:
    readings = ok("/sys/module/kvm_amd", values), ok("/sys/module/kvm_amd/parameters", parameters)
    return kvm_module_of(bundle_of(*readings, modules=modules), "kvm_amd")


@pytest.mark.parametrize(
    ("text", "nested"),
    [("1", True), ("Y", True), ("y", True), ("-1", True), ("2", True), ("0", False), ("N", False), ("n", False)],
)
def test_every_kernels_way_to_print_nested_is_read(text: str, nested: bool) -> None:  # noqa: FBT001
    assert module(f"avic=N\nnested={text}\nnpt=Y").nested is nested


@pytest.mark.parametrize("parameters", ["nested!", "avic=N", "nested=", "nested=maybe", "", "xnested=1"])
def test_an_unread_value_is_never_off(parameters: str) -> None:
    with pytest.raises(ObservationError):
        _ = module(parameters).nested


def test_a_module_that_is_not_loaded_has_no_value() -> None:
    absent = module("nested=1", modules="kvm\nkvm_intel\nvboxdrv")
    assert (absent.is_loaded, absent.others, absent.other_hypervisors) == (
        False,
        ("kvm_intel", "vboxdrv"),
        ("vboxdrv",),
    )


def test_kvm_alone_is_nobodys_module() -> None:
    assert not module("nested=1", modules="kvm").is_loaded


def test_a_built_in_module_has_no_state() -> None:
    assert module("nested=1", values="").is_built_in
    assert not module("nested=1").is_built_in


def test_a_state_that_may_not_be_read_is_a_state() -> None:
    assert not module("nested=1", values="initstate!\nrefcnt=1").is_built_in


@pytest.mark.parametrize(("values", "count"), [("refcnt=3", 3), ("refcnt!", None), ("refcnt=-1", None), ("", None)])
def test_the_use_count_is_a_number_or_not_known(values: str, count: int | None) -> None:
    assert module("nested=1", values=values).use_count == count


@given(any_text, any_text, any_text, any_status)
def test_any_answer_is_a_module_or_was_not_observed(modules: str, values: str, text: str, status: Status) -> None:
    readings = ok("/sys/module/kvm_amd", values), Reading("/sys/module/kvm_amd/parameters", status, text)
    try:
        seen = kvm_module_of(bundle_of(*readings, modules=f"kvm_amd\n{modules}"), "kvm_amd")
        assert seen.nested in {True, False}
    except ObservationError:
        pass


@pytest.mark.parametrize(
    "text", ["1_0", "\N{FULLWIDTH DIGIT ONE}", "\N{ARABIC-INDIC DIGIT THREE}", "+1", "1.0", "", "0x1"]
)
def test_a_value_that_no_kernel_prints_is_not_taken_for_one(text: str) -> None:
    module = KvmModule("kvm_amd", is_loaded=True, is_built_in=False, parameters={"nested": text})
    with pytest.raises(NotObserved):
        _ = module.nested


@pytest.mark.parametrize(("state", "is_loaded"), [("live", True), ("coming", False), ("going", False)])
def test_only_a_live_module_is_loaded(state: str, *, is_loaded: bool) -> None:
    folder = "/sys/module/kvm_amd"
    readings = (ok("/sys/module", "kvm_amd"), ok(folder, f"initstate={state}"), ok(f"{folder}/parameters", "nested=1"))
    module = kvm_module_of(bundle_of(*readings), "kvm_amd")
    assert (module.is_loaded, module.is_built_in) == (is_loaded, False)
    assert is_loaded or module.evidence[0].text == state


def test_a_list_without_a_module_whose_directory_was_read_is_not_complete() -> None:
    readings = (ok("/sys/module", "kvm\nk"), ok("/sys/module/kvm_amd", "refcnt=1"))
    bundle = replace(bundle_of(), readings={reading.source: reading for reading in readings})
    with pytest.raises(NotObserved, match="does not list kvm_amd"):
        kvm_module_of(bundle, "kvm_amd")


def test_a_state_that_no_kernel_prints_was_not_read_whole() -> None:
    readings = (ok("/sys/module", "kvm_amd"), ok("/sys/module/kvm_amd", "initstate=li"))
    with pytest.raises(NotObserved, match="initstate reads 'li'"):
        kvm_module_of(bundle_of(*readings, ok("/sys/module/kvm_amd/parameters", "nested=1")), "kvm_amd")
