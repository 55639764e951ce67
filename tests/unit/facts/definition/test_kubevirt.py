"""KubeVirt's manifests against the domain XML that KubeVirt writes for them, drawn at random."""

import json
from typing import Any
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, cpu_definition_of
from nested_kvm.model.answer import Answer
from tests.support.defined import BOTH, defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
MODELS = st.sampled_from([None, "", "host-passthrough", "host-model", "EPYC", "Skylake-Server", "Nehalem"])
NAMES = st.sampled_from(["svm", "vmx", "aes", "vmx-ept", "svm_lock"])
POLICIES = st.sampled_from([None, "force", "require", "optional", "disable", "forbid"])
FEATURES = st.lists(st.tuples(NAMES, POLICIES), max_size=3)
EVMCS = st.sampled_from([None, {}, {"enabled": True}, {"enabled": False}])
DEFAULTS = st.sampled_from([None, "host-model", "host-passthrough", "EPYC"])


def vmi(domain: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "ci-1", "namespace": "ci"},
        "spec": {"domain": domain, **spec},
    }


def vm(spec: dict[str, Any], **beside: Any) -> dict[str, Any]:
    found = vmi(spec)
    template = {"metadata": beside.pop("metadata", {}), "spec": found["spec"]}
    return {**found, "kind": "VirtualMachine", "spec": {"template": template, **beside}}


def cluster(model: str | None) -> dict[str, Any]:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt"},
        "spec": {"configuration": {} if model is None else {"cpuModel": model}},
    }


def stream(*objects: dict[str, Any]) -> tuple[str, str]:
    return "vm.yaml", "\n---\n".join(json.dumps(each, indent=2) for each in objects)


def written_by_kubevirt(
    model: str, features: list[tuple[str, str | None]], evmcs: dict[str, bool] | None
) -> CpuDefinition:
    """What virt-launcher hands to libvirt: the webhook's vmx for eVMCS, mode or model, and each feature as it is."""
    named = [[name, policy or "require"] for name, policy in features]
    if evmcs is not None and evmcs.get("enabled", True):
        first = next((each for each in named if each[0] == "vmx"), None)
        if first is None:
            named.append(["vmx", "require"])
        else:
            first[1] = "require"
    is_mode = model in {"host-model", "host-passthrough"}
    opened = f"<cpu mode={quoteattr(model)}>" if is_mode else f"<cpu mode='custom'><model>{model}</model>"
    listed = "".join(f"<feature name={quoteattr(name)} policy={quoteattr(policy)}/>" for name, policy in named)
    return cpu_definition_of(fromstring(f"<domain type='kvm'>{opened}{listed}</cpu></domain>"))  # noqa: S314 - own text


@given(MODELS, FEATURES, EVMCS, DEFAULTS)
@example(None, [("svm", None)], {}, None)
def test_it_is_the_domain_that_kubevirt_writes(
    model: str | None, features: list[tuple[str, str | None]], evmcs: dict[str, bool] | None, default: str | None
) -> None:
    listed = [{"name": name} if policy is None else {"name": name, "policy": policy} for name, policy in features]
    cpu: dict[str, Any] = {"features": listed} if model is None else {"model": model, "features": listed}
    domain = {"cpu": cpu, "features": {"hyperv": {} if evmcs is None else {"evmcs": evmcs}}}
    found = only(stream(vm(domain), cluster(default)))
    expected = written_by_kubevirt(model or default or "host-model", features, evmcs)
    for vendor in BOTH:
        ours, theirs = found.promise(vendor), expected.promise(vendor)
        assert (ours.gives_flag, ours.cause) == (theirs.gives_flag, theirs.cause)


@given(FEATURES, EVMCS)
def test_without_model_and_cluster_only_a_feature_decides(
    features: list[tuple[str, str | None]], evmcs: dict[str, bool] | None
) -> None:
    listed = [{"name": name, "policy": policy or "require"} for name, policy in features]
    found = only(stream(vmi({"cpu": {"features": listed}, "features": {"hyperv": {"evmcs": evmcs}}})))
    names = {name for name, _ in features} | ({"vmx"} if evmcs is not None else set())
    for vendor in BOTH:
        if vendor.flag not in names:
            promise = found.promise(vendor)
            assert promise.gives_flag is UNKNOWN
            assert "cluster's default" in promise.reason or "libvirt refuses" in promise.reason


@pytest.mark.parametrize(
    "made",
    [
        vm({"cpu": {"model": "host-passthrough"}}, instancetype={"name": "u1.medium"}),
        vm({"cpu": {"model": "host-passthrough"}}, preference={"name": "fedora"}),
        vm(
            {"cpu": {"model": "host-passthrough"}},
            metadata={"annotations": {"hooks.kubevirt.io/hookSidecars": "[{}]"}},
        ),
    ],
    ids=["instancetype", "preference", "sidecar"],
)
def test_what_may_change_the_cpu_beside_the_template_leaves_it_open(made: dict[str, Any]) -> None:
    assert gives(only(stream(made))) == (UNKNOWN, UNKNOWN)


def typed(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """An instancetype or a preference."""
    return {
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def revision(name: str, of: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The ControllerRevision that KubeVirt keeps of an instancetype or a preference."""
    labels = {"instancetype.kubevirt.io/object-name": of["metadata"]["name"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": "ci", "labels": labels, **metadata},
        "data": of,
    }


CLUSTERS, OWN = "VirtualMachineClusterInstancetype", "VirtualMachineInstancetype"
PREFERENCE = "VirtualMachineClusterPreference"
HOST, EPYC = {"cpu": {"guest": 2, "model": "host-passthrough"}}, {"cpu": {"guest": 2, "model": "EPYC"}}
NO_VMX = {"cpu": {"preferredCPUFeatures": [{"name": "vmx", "policy": "disable"}]}}
DEFAULT = cluster("kvm64")


@pytest.mark.parametrize(
    ("made", "beside", "expected"),
    [
        (vm({}, instancetype={"name": "big"}), [typed(CLUSTERS, "big", HOST)], (YES, YES)),
        (vm({}, instancetype={"name": "big"}), [typed(CLUSTERS, "big", EPYC)], (NO, NO)),
        (vm({}, instancetype={"name": "big"}), [typed(CLUSTERS, "big", {"cpu": {"guest": 2}}), DEFAULT], (NO, NO)),
        (vm({}, instancetype={"name": "big", "kind": OWN}), [typed(OWN, "big", HOST, namespace="ci")], (YES, YES)),
        (vm({}, instancetype={"name": "big", "kind": OWN}), [typed(CLUSTERS, "big", HOST)], (UNKNOWN, UNKNOWN)),
        (
            vm({}, instancetype={"name": "big", "kind": OWN}),
            [typed(OWN, "big", HOST, namespace="b")],
            (UNKNOWN, UNKNOWN),
        ),
        (vm({}, instancetype={"name": "big"}), [typed(CLUSTERS, "small", HOST)], (UNKNOWN, UNKNOWN)),
        (vm({}, instancetype={"name": "big"}), [typed(CLUSTERS, "big", HOST)] * 2, (UNKNOWN, UNKNOWN)),
        (vm({}, instancetype={"inferFromVolume": "root"}), [typed(CLUSTERS, "big", HOST)], (UNKNOWN, UNKNOWN)),
        (
            vm({"cpu": {"model": "EPYC"}}, instancetype={"name": "big"}),
            [typed(CLUSTERS, "big", HOST)],
            (UNKNOWN, UNKNOWN),
        ),
        (
            vm({}, instancetype={"name": "big", "revisionName": "r"}),
            [typed(CLUSTERS, "big", EPYC), revision("r", typed(CLUSTERS, "big", HOST))],
            (YES, YES),
        ),
        (vm({}, instancetype={"name": "big", "revisionName": "r"}), [typed(CLUSTERS, "big", HOST)], (UNKNOWN, UNKNOWN)),
        (
            vm({}, instancetype={"name": "big", "revisionName": "r"}),
            [revision("r", {**typed(CLUSTERS, "big", HOST), "apiVersion": "instancetype.kubevirt.io/v1alpha1"})],
            (UNKNOWN, UNKNOWN),
        ),
        (
            {
                **vm({}, instancetype={"name": "big"}),
                "status": {"instancetypeRef": {"controllerRevisionRef": {"name": "r"}}},
            },
            [typed(CLUSTERS, "big", HOST), revision("r", typed(CLUSTERS, "big", EPYC))],
            (NO, NO),
        ),
        (
            {
                **vm({}, instancetype={"name": "big"}),
                "status": {"instancetypeRef": {"controllerRevisionRef": {"name": "r"}}},
            },
            [typed(CLUSTERS, "big", HOST), revision("r", typed(CLUSTERS, "other", EPYC))],
            (YES, YES),
        ),
        (
            {
                **vm({}, instancetype={"name": "big"}),
                "status": {"instancetypeRef": {"controllerRevisionRef": {"name": "r"}}},
            },
            [typed(CLUSTERS, "big", HOST)],
            (UNKNOWN, UNKNOWN),
        ),
        (
            vm({"cpu": {"model": "host-passthrough"}}, preference={"name": "plain"}),
            [typed(PREFERENCE, "plain", NO_VMX)],
            (YES, NO),
        ),
        (
            vm(
                {"cpu": {"model": "host-passthrough", "features": [{"name": "vmx", "policy": "require"}]}},
                preference={"name": "plain"},
            ),
            [typed(PREFERENCE, "plain", NO_VMX)],
            (YES, YES),
        ),
        (
            vm({"cpu": {"model": "Skylake-Server"}}, preference={"name": "windows"}),
            [typed(PREFERENCE, "windows", {"features": {"preferredHyperv": {"evmcs": {}}}})],
            (NO, YES),
        ),
        (
            vm(
                {"cpu": {"model": "Skylake-Server"}, "features": {"hyperv": {"evmcs": {"enabled": False}}}},
                preference={"name": "windows"},
            ),
            [typed(PREFERENCE, "windows", {"features": {"preferredHyperv": {"evmcs": {}}}})],
            (NO, NO),
        ),
        (
            vm({}, instancetype={"name": "big"}),
            [typed(CLUSTERS, "big", {**HOST, "annotations": {"hooks.kubevirt.io/hookSidecars": "[{}]"}})],
            (UNKNOWN, UNKNOWN),
        ),
    ],
)
def test_instancetype_and_preference_decide_where_they_are_among_the_files(
    made: dict[str, Any], beside: list[dict[str, Any]], expected: tuple[Answer, Answer]
) -> None:
    assert gives(only(stream(made, *beside))) == expected


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"model": "host-passthrough"}, (YES, YES)),
        ({"model": "EPYC"}, (NO, NO)),
        ({"model": "host-passthrough", "cores": "${{CORES}}"}, (YES, YES)),
        ({"model": "${CPU_MODEL}"}, (UNKNOWN, UNKNOWN)),
        ({"model": "host-passthrough", "features": [{"name": "${FLAG}", "policy": "disable"}]}, (UNKNOWN, UNKNOWN)),
    ],
)
def test_the_objects_of_a_template_of_openshift_are_guests(
    cpu: dict[str, Any], expected: tuple[Answer, Answer]
) -> None:
    made = {"kind": "Template", "apiVersion": "template.openshift.io/v1", "metadata": {"name": "t"}}
    assert (
        gives(only(stream({**made, "objects": [{"kind": "Secret", "apiVersion": "v1"}, vm({"cpu": cpu})]}))) == expected
    )


def test_an_instancetype_may_encrypt_the_memory() -> None:
    found = only(
        stream(vm({}, instancetype={"name": "big"}), typed(CLUSTERS, "big", {**HOST, "launchSecurity": {"sev": {}}}))
    )
    assert found.cpu.memory_encryption == "sev"


def test_two_clusters_that_differ_decide_nothing() -> None:
    assert gives(only(stream(vmi({}), cluster("host-passthrough"), cluster("EPYC")))) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize(("emulates", "answer"), [(True, UNKNOWN), ("true", UNKNOWN), (False, YES)])
def test_a_cluster_that_allows_emulation_decides_nothing(emulates: object, answer: Answer) -> None:
    resource = cluster("host-model")
    resource["spec"]["configuration"]["developerConfiguration"] = {"useEmulation": emulates}
    guest = vmi({"cpu": {"model": "host-passthrough"}})
    assert gives(only(stream(guest), ("cluster.yaml", json.dumps(resource)))) == (answer, answer)


def test_openshifts_resource_names_the_default_as_well() -> None:
    own = {
        "apiVersion": "hco.kubevirt.io/v1beta1",
        "kind": "HyperConverged",
        "metadata": {"name": "kubevirt-hyperconverged"},
    }
    assert gives(only(stream(vmi({}), {**own, "spec": {"defaultCPUModel": "host-passthrough"}}))) == (YES, YES)
    assert gives(only(stream(vmi({}), {**own, "spec": {}}))) == (NO, YES)


def test_the_cluster_may_stand_in_another_file() -> None:
    (found,) = defined(stream(vmi({})), ("kubevirt.yaml", json.dumps(cluster("host-passthrough"))))
    assert gives(found) == (YES, YES)


def test_encrypted_memory_is_seen() -> None:
    found = only(stream(vmi({"cpu": {"model": "host-passthrough"}, "launchSecurity": {"sev": {}}})))
    assert found.cpu.memory_encryption == "sev"


@pytest.mark.parametrize(("written", "kept"), [("amd64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64")])
def test_the_architecture_is_the_one_that_libvirt_names(written: str, kept: str) -> None:
    assert only(stream(vmi({}, architecture=written))).architecture == kept


def test_a_list_of_kubectls_holds_its_items() -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [vm({"cpu": {"model": "host-passthrough"}}), vmi({}), {"apiVersion": "v1", "kind": "Pod"}],
    }
    found = defined(("all.json", json.dumps(listed)))
    assert [each.place for each in found] == [
        ": items[0].spec.template.spec.domain.cpu.model",
        ": items[1].spec.domain",
    ]


@pytest.mark.parametrize("kind", ["VirtualMachineInstanceReplicaSet", "VirtualMachinePool"])
def test_sets_of_guests_define_one(kind: str) -> None:
    template = {"metadata": {}, "spec": {"domain": {"cpu": {"model": "host-passthrough"}}}}
    spec = (
        {"virtualMachineTemplate": {"spec": {"template": template}}}
        if kind.endswith("Pool")
        else {"template": template}
    )
    group = "pool.kubevirt.io/v1beta1" if kind.endswith("Pool") else "kubevirt.io/v1"
    found = only(stream({"apiVersion": group, "kind": kind, "metadata": {"name": "runners"}, "spec": spec}))
    assert (found.name, gives(found)) == ("runners", (YES, YES))


@pytest.mark.parametrize("group", ["vmoperator.vmware.com/v1alpha1", "evil-kubevirt.io/v1", "v1"])
def test_a_kind_of_another_group_is_no_guest_of_kubevirts(group: str) -> None:
    assert defined(stream({**vm({}), "apiVersion": group})) == []


def test_merged_keys_count() -> None:
    text = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: ci-1
  annotations: {x: &base {model: host-passthrough, cores: 2}}
spec:
  domain:
    cpu:
      <<: *base
"""
    assert gives(only(("vm.yaml", text))) == (YES, YES)


def test_the_line_is_that_of_the_deciding_key() -> None:
    text = """\
# a guest
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: ci-1}
spec:
  domain:
    cpu:
      model: EPYC
      features:
        - name: aes
        - name: svm
"""
    assert only(("vm.yaml", text)).place == ":11"
    assert only(("vm.yaml", text.replace("svm", "npt"))).place == ":8"
    assert only(("vm.yaml", f"---\na: &x 1\napiVersion: v1\nkind: A\n---\n{text}")).place == ":16"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"spec": {}}, "spec.domain is missing"),
        ({"spec": []}, "spec is not a mapping"),
        ({"spec": {"domain": {"cpu": []}}}, "spec.domain.cpu is not a mapping"),
        ({"spec": {"domain": {"cpu": {"model": ["host-passthrough"]}}}}, "spec.domain.cpu.model is not text"),
        ({"spec": {"domain": {"cpu": {"features": {"name": "svm"}}}}}, "spec.domain.cpu.features is not a list"),
        ({"spec": {"domain": {"features": {"hyperv": {"evmcs": {"enabled": "on"}}}}}}, "is neither true nor false"),
        ({"metadata": {}}, "it has no metadata.name"),
        ({"metadata": {"name": "a\x1b[31mb"}}, "it has no metadata.name"),
    ],
)
def test_what_kubevirt_would_not_take_is_an_error_with_its_place(made: dict[str, Any], says: str) -> None:
    with pytest.raises(NotObserved, match=r"vm\.yaml: ") as error:
        only(stream({**vmi({}), **made}))
    assert says in str(error.value)
