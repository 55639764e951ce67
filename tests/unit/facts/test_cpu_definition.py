from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, Promise, cpu_definition_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def definition(cpu: str) -> CpuDefinition:
    return cpu_definition_of(fromstring(f"<domain>{cpu}</domain>"))  # noqa: S314 - the test's own text


def promise(cpu: str, vendor: Vendor) -> Promise:
    return definition(cpu).promise(vendor)


def feature(policy: str, name: str) -> str:
    return f"<feature policy='{policy}' name='{name}'/>"


@pytest.mark.parametrize(
    ("cpu", "amd", "intel"),
    [
        ("<cpu mode='host-passthrough'/>", YES, YES),
        ("<cpu mode='maximum'/>", YES, YES),
        ("<cpu mode='host-model'/>", Cause.HOST_MODEL_DROPS_SVM, YES),
        ("", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu/>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu><topology sockets='1'/></cpu>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu><model>qemu64</model></cpu>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu><model>kvm64</model></cpu>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu><model>EPYC-Rome</model></cpu>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu><model>Skylake-Server</model></cpu>", Cause.NAMED_MODEL_LACKS_FLAG, Cause.NAMED_MODEL_LACKS_FLAG),
        ("<cpu mode='elsewhere'/>", UNKNOWN, UNKNOWN),
    ],
)
def test_the_mode_and_the_model_decide(cpu: str, amd: Answer | Cause, intel: Answer | Cause) -> None:
    for vendor, wanted in ((Vendor.AMD, amd), (Vendor.INTEL, intel)):
        said = promise(cpu, vendor)
        assert (said.cause or said.gives_flag) is wanted
        assert (said.cause is not None) is (said.gives_flag is NO)


@pytest.mark.parametrize("vendor", Vendor)
@pytest.mark.parametrize("mode", ["host-passthrough", "maximum", "host-model", "custom"])
def test_an_explicit_feature_decides_over_the_mode(vendor: Vendor, mode: str) -> None:
    for policy, wanted in (("require", YES), ("force", YES), ("disable", NO), ("forbid", NO)):
        said = promise(f"<cpu mode='{mode}'><model>qemu64</model>{feature(policy, vendor.flag)}</cpu>", vendor)
        assert said.gives_flag is wanted
        assert said.cause is (Cause.FEATURE_DISABLED if wanted is NO else None)


def test_a_features_policy_is_require_unless_it_says_otherwise() -> None:
    assert promise("<cpu><model>qemu64</model><feature name='svm'/></cpu>", Vendor.AMD).gives_flag is YES


@pytest.mark.parametrize("vendor", [Vendor.AMD, Vendor.INTEL])
@pytest.mark.parametrize("model", ["EPYC", "Nehalem", "Haswell", "core2duo"])
def test_a_model_of_the_other_vendor_is_a_name_like_any_other(vendor: Vendor, model: str) -> None:
    assert promise(f"<cpu><model>{model}</model></cpu>", vendor).cause is Cause.NAMED_MODEL_LACKS_FLAG
    for policy in ("require", "force", "optional"):
        assert promise(f"<cpu><model>{model}</model>{feature(policy, vendor.flag)}</cpu>", vendor).gives_flag is YES


def test_an_optional_feature_is_given_by_a_named_model_and_perhaps_by_host_model() -> None:
    assert promise(f"<cpu><model>EPYC</model>{feature('optional', 'svm')}</cpu>", Vendor.AMD).gives_flag is YES
    assert promise(f"<cpu mode='host-model'>{feature('optional', 'svm')}</cpu>", Vendor.AMD).gives_flag is UNKNOWN
    assert promise(f"<cpu mode='host-passthrough'>{feature('optional', 'svm')}</cpu>", Vendor.AMD).gives_flag is YES


@pytest.mark.parametrize("name", ["vmx-ept", "svme-addr-chk", "svm_lock", "SVM", "npt"])
def test_a_feature_of_a_similar_name_gives_nothing(name: str) -> None:
    for vendor in (Vendor.AMD, Vendor.INTEL):
        assert promise(f"<cpu><model>qemu64</model>{feature('require', name)}</cpu>", vendor).gives_flag is NO


def test_the_other_vendors_feature_is_a_cause_of_its_own() -> None:
    cpu = f"<cpu><model>qemu64</model>{feature('require', 'vmx')}</cpu>"
    assert promise(cpu, Vendor.AMD).cause is Cause.WRONG_VENDOR_FEATURE
    assert promise(f"<cpu mode='host-passthrough'>{feature('disable', 'vmx')}</cpu>", Vendor.AMD).gives_flag is YES


@pytest.mark.parametrize("policy", ["require", "force", "optional"])
@pytest.mark.parametrize(("vendor", "other"), [(Vendor.AMD, "vmx"), (Vendor.INTEL, "svm")])
def test_a_domain_that_requires_both_vendors_flags_starts_only_unchecked(
    vendor: Vendor, other: str, policy: str
) -> None:
    both = feature(policy, vendor.flag) + feature("require", other)
    said = promise(f"<cpu><model>qemu64</model>{both}</cpu>", vendor)
    assert said.gives_flag is UNKNOWN
    assert f"requires {other}" in said.reason
    assert promise(f"<cpu check='full'><model>qemu64</model>{both}</cpu>", vendor).gives_flag is UNKNOWN
    assert promise(f"<cpu check='none'><model>qemu64</model>{both}</cpu>", vendor).gives_flag is YES
    assert promise(f"<cpu mode='host-passthrough'>{both}</cpu>", vendor).gives_flag is YES
    dropped = feature(policy, vendor.flag) + feature("optional", other)
    assert promise(f"<cpu><model>qemu64</model>{dropped}</cpu>", vendor).gives_flag is YES


@pytest.mark.parametrize(
    ("cpu", "reason"),
    [
        (f"<cpu>{feature('disable', 'svm')}</cpu>", "features without a model"),
        (
            f"<cpu mode='host-passthrough'>{feature('require', 'x')}{feature('disable', 'x')}</cpu>",
            "x is listed 2 times",
        ),
        (f"<cpu><model>EPYC</model>{feature('always', 'svm')}</cpu>", "'always' is not a valid policy"),
        ("<cpu><model>EPYC</model><feature policy='require'/></cpu>", "without a name"),
        ("<cpu migratable='on'><model>EPYC</model></cpu>", "migratable with a mode that does not copy the host's CPU"),
        ("<cpu mode='host-model' migratable='off'/>", "migratable with a mode that does not copy the host's CPU"),
        ("<cpu mode='host-passthrough' migratable='no'/>", "'no' is not a valid migratable"),
        ("<cpu mode='host-passthrough'><vendor>AMD</vendor></cpu>", "a vendor without a model"),
        ("<cpu mode='host-model'><model fallback='no'/></cpu>", "'no' is not a valid fallback"),
        ("<cpu><model vendor_id='AMD'>EPYC</model></cpu>", "'AMD' is not a vendor_id of 12 letters"),
        ("<cpu><model vendor_id='Authentic,MD'>EPYC</model></cpu>", "'Authentic,MD' is not a vendor_id of 12 letters"),
    ],
)
def test_what_libvirt_refuses_gives_nothing_and_withholds_nothing(cpu: str, reason: str) -> None:
    said = promise(cpu, Vendor.AMD)
    assert said.gives_flag is UNKNOWN
    assert reason in said.reason


@pytest.mark.parametrize("cpu", ["<cpu match='minimum'/>", "<cpu match='minimum'><topology sockets='1'/></cpu>"])
def test_minimum_without_a_model_adds_nothing_as_libvirt_drops_it(cpu: str) -> None:
    assert promise(cpu, Vendor.INTEL).gives_flag is NO


@pytest.mark.parametrize(
    ("machine", "answer"),
    [
        ("pc-i440fx-2.0", UNKNOWN),
        ("pc-1.3", UNKNOWN),
        ("pc-i440fx-trusty", UNKNOWN),
        ("pc-i440fx-rhel7.0.0", UNKNOWN),
        ("rhel6.6.0", UNKNOWN),
        ("pc-i440fx-2.2", NO),
        ("pc-q35-7.2", NO),
        ("pc-i440fx-vivid", NO),
        ("pc-i440fx-rhel7.6.0", NO),
        ("pc-q35-rhel8.6.0", NO),
    ],
)
def test_an_old_machine_keeps_what_its_models_have_as_it_does_for_a_process(machine: str, answer: Answer) -> None:
    os = f"<os><type machine='{machine}'>hvm</type></os>"
    assert promise(f"{os}<cpu><model>Opteron_G2</model></cpu>", Vendor.AMD).gives_flag is answer
    assert promise(os, Vendor.AMD).gives_flag is answer
    assert promise(f"{os}<cpu><model>Opteron_G2</model>{feature('disable', 'svm')}</cpu>", Vendor.AMD).gives_flag is NO
    assert promise(f"{os}<cpu mode='host-passthrough'/>", Vendor.AMD).gives_flag is YES
    assert promise(f"{os}<cpu><model>Opteron_G2</model></cpu>", Vendor.INTEL).gives_flag is NO


_words = st.sampled_from(["svm", "vmx", "require", "disable", "optional", "host-model", "custom", "EPYC", "x", ""])


@given(_words, _words, st.dictionaries(_words, _words), st.sampled_from(Vendor), st.none() | _words)
def test_any_definition_promises_something_and_a_no_has_a_cause(
    mode: str, model: str, features: dict[str, str], vendor: Vendor, passed: str | None
) -> None:
    said = CpuDefinition(mode, model or None, features=features, passed_through=passed).promise(vendor)
    assert (said.cause is not None) is (said.gives_flag is NO)
    assert said.reason
    if passed is not None:
        assert said.gives_flag is UNKNOWN


@pytest.mark.parametrize(
    ("cpu", "vendor", "gives"),
    [
        ("<cpu match='minimum'><model>pentium</model></cpu>", Vendor.INTEL, Answer.YES),
        ("<cpu match='minimum'><model>pentium</model></cpu>", Vendor.AMD, Answer.NO),
        ("<cpu match='minimum'><model>pentium</model></cpu>", Vendor.IBM_Z, Answer.UNKNOWN),
        ("<cpu match='exact'><model>pentium</model></cpu>", Vendor.INTEL, Answer.NO),
        ("<cpu mode='host-model'><feature policy='force' name='svm'/></cpu>", Vendor.INTEL, Answer.YES),
        ("<cpu mode='host-model'><feature policy='require' name='svm'/></cpu>", Vendor.INTEL, Answer.NO),
        ("<cpu><model>pentium</model><feature policy='force' name='svm'/></cpu>", Vendor.INTEL, Answer.NO),
        (
            "<cpu match='minimum'><model>pentium</model><feature policy='disable' name='vmx'/></cpu>",
            Vendor.INTEL,
            Answer.NO,
        ),
    ],
)
def test_a_minimum_gets_what_host_model_gets(cpu: str, vendor: Vendor, gives: Answer) -> None:
    """libvirt adds the host's features to such a model, vmx among them: seen with libvirt 9.0 on an Intel host."""
    assert promise(cpu, vendor).gives_flag is gives
