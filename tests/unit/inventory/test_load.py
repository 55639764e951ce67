"""An inventory is read exactly, and where it is wrong the error names file, line and key."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import InventoryError, UsageError
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.schema import (
    EstateSection,
    GuestSection,
    HostSection,
    InventoryFile,
    KubernetesSection,
    PolicySection,
)
from nested_kvm.inventory.target import Inventory, TargetLevel
from nested_kvm.model.policy import Nested, Persistence, Policy, Undeclared

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


def load(file: Path, text: str) -> Inventory:
    file.write_text(dedent(text))
    return load_inventory(file)


def test_every_key_has_its_default_and_the_nearest_word_counts(file: Path) -> None:
    inventory = load(
        file,
        """\
        policy: {nested: forbidden, undeclared: required}
        hosts:
          kvm-a:
            persistence: explicit
            guests:
              ci-1: {nested: required, address: ssh://root@192.168.122.11, via: host}
              web: {domain: web-3, account: dev}
          kvm-b: {address: "ssh://root@b:22", libvirt: none, nested: required, group: amd}
          vm: {level: L1, account: ci@example.net}
        """,
    )
    assert [target.name for target in inventory] == ["kvm-a", "ci-1", "web", "kvm-b", "vm"]
    kvm_a, ci_1, web, kvm_b, vm = inventory
    assert kvm_a.policy == Policy(Nested.FORBIDDEN, Persistence.EXPLICIT, Undeclared.REQUIRED)
    assert ci_1.policy == Policy(Nested.REQUIRED, Persistence.EXPLICIT, Undeclared.REQUIRED)
    assert (ci_1.level, ci_1.host, ci_1.domain, ci_1.via_host) == (TargetLevel.L1, "kvm-a", "ci-1", True)
    assert (web.address, web.domain, web.policy.nested) == (None, "web-3", Nested.FORBIDDEN)
    assert (kvm_a.libvirt, kvm_b.libvirt, vm.libvirt) == ("qemu:///system", None, None)
    assert [target.account for target in inventory] == [None, None, "dev", None, "ci@example.net"]
    assert [target.group for target in inventory] == [None, None, None, "amd", None]
    assert kvm_a.address is not None
    assert (kvm_a.address.host, vm.level) == ("kvm-a", TargetLevel.L1)


@pytest.mark.parametrize(
    ("text", "place", "key", "reason"),
    [
        ("policy:\n  nested:\nhosts: {a: {}}\n", 2, "policy.nested", "is empty: give it a value, or leave it out"),
        ("hosts:\n  a:\n    group: ~\n", 3, "hosts.a.group", "is empty"),
        ("hosts:\n  a: {guests: {b: {nested: null}}}\n", 2, "hosts.a.guests.b.nested", "is empty"),
        ("estate:\nhosts: {a: {}}\n", 1, "estate", "is empty"),
        ("hosts:\n  a:\n    adress: b\n", 3, "hosts.a.adress", r"unknown key \(did you mean `address`\?\)$"),
        ("polcy: {}\nhosts: {a: {}}\n", 1, "polcy", r"unknown key \(did you mean `policy`\?\)$"),
        (
            "hosts:\n  a:\n    guests:\n      g:\n        vai: host\n",
            5,
            "hosts.a.guests.g.vai",
            r"unknown key \(did you mean `via`\?\)$",
        ),
        ("hosts:\n  - a\n", 1, "hosts", "must be a mapping"),
        ("hosts:\n  a:\n    guests: [g]\n", 3, "hosts.a.guests", "must be a mapping"),
        ("hosts:\n  a: b\n", 2, "hosts.a", "must be a mapping"),
        ("hosts: {}\n", 1, "hosts", "nothing to audit"),
        ("hosts:\n", 1, "hosts", "must be a mapping"),
        ("policy: {}\n", 1, "hosts", "is missing"),
        ("", 1, "the file", "must be a mapping"),
        ("- a\n", 1, "the file", "must be a mapping"),
        ("hosts:\n  a:\n    nested: yes\n", 3, "hosts.a.nested", "'required', 'forbidden' or 'guarded'"),
        ("policy:\n  persistence: always\nhosts: {a: {}}\n", 2, "policy.persistence", "'effective' or 'explicit'"),
        ("hosts:\n  a:\n    address: telnet://b\n", 3, "hosts.a.address", "telnet:// is unknown"),
        ("hosts:\n  a:\n    address: 5\n", 3, "hosts.a.address", "must be text"),
        ("hosts:\n  a:\n    guests:\n      g: {via: me}\n", 4, "hosts.a.guests.g.via", "'host'"),
        ("hosts:\n  '': {}\n", 2, "hosts", "visible character"),
        ('hosts:\n  "a\\nb": {}\n', 2, "hosts", "control characters"),
        (f"hosts:\n  {'a' * 251}: {{}}\n", 2, "hosts", "250 bytes"),
        ("hosts:\n  a:\n    guests:\n      a: {}\n", 4, "a", "duplicate name"),
        ("hosts:\n  a:\n    guests:\n      g: {}\n  b:\n    guests:\n      g: {}\n", 7, "g", "duplicate name"),
        ("hosts:\n  a: {}\n  a: {}\n", 3, "a", "duplicate"),
        ("hosts:\n\ta: {}\n", 2, "", "tab|\\\\t"),
        ("hosts: {a: {}\n", 2, "", "expected"),
        ("hosts: *x\n", 1, "", "alias"),
        (
            "hosts:\n  a:\n    guests:\n      g:\n        account: -rm\n",
            5,
            "hosts.a.guests.g.account",
            "not a valid account name",
        ),
        ("hosts:\n  a:\n    guests:\n      g: {group: x}\n", 4, "hosts.a.guests.g.group", "unknown key$"),
        ("hosts:\n  a:\n    account: dev\n", 2, "hosts.a", "option of guests"),
        ("hosts:\n  a:\n    group: ''\n", 3, "hosts.a.group", "visible character"),
        ("hosts:\n  a: {level: L2}\n", 2, "hosts.a.level", "'L0' or 'L1'"),
        ("estate: {}\n", 1, "estate", "one of `file` and `kubernetes`"),
        ("estate:\n  file: a\n  kubernetes: {}\n", 1, "estate", "one of `file` and `kubernetes`"),
        ("estate:\n  kubernetes:\n", 1, "estate", "`kubernetes: {}` is your current context"),
        ("estate:\n  kubernetes: prod\n", 2, "estate.kubernetes", "must be a mapping"),
        ("estate:\n  kubernetes:\n    contxt: a\n", 3, "estate.kubernetes.contxt", r"did you mean `context`\?\)$"),
        ("estate:\n  kubernetes:\n    context: ''\n", 3, "estate.kubernetes.context", "visible character"),
        ("estate:\n  kubernetes:\n    namespaces: []\n", 3, "estate.kubernetes.namespaces", "is empty"),
        ("estate:\n  kubernetes:\n    namespaces: [a, B_]\n", 3, "estate.kubernetes.namespaces", "not a valid name"),
        ("estate: {kubernetes: {context: prod}}\n", 1, "estate", "context prod: an inventory with an estate"),
    ],
)
def test_an_error_names_file_line_and_key(file: Path, text: str, place: int, key: str, reason: str) -> None:
    with pytest.raises(InventoryError, match=reason) as refused:
        load(file, text)
    assert f"{file}:{place}: " in str(refused.value)
    assert key in str(refused.value)


def test_every_error_is_told_at_once(file: Path) -> None:
    with pytest.raises(InventoryError) as refused:
        load(file, "hosts:\n  a: {x: 1}\n  b: {y: 2}\n")
    assert str(refused.value).splitlines() == [
        f"{file}:2: hosts.a.x: unknown key",
        f"{file}:3: hosts.b.y: unknown key",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"hosts: {a: {}}\n# \xff\n", b"\x00", b"\xff\xfe", b"[" * 1500, b"%YAML 9.9\n---\n{}"]
)
def test_bytes_that_are_no_inventory_are_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InventoryError, match=r"fleet\.yaml"):
        load_inventory(file)


def test_a_file_that_is_not_there_or_not_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(InventoryError, match=str(path)):
            load_inventory(path)


_words = st.sampled_from(
    ["hosts", "policy", "guests", "nested", "required", "address", "a", "b", "none", "", "1", None]
)
_trees = st.recursive(
    st.one_of(_words, st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words.filter(bool), inner, max_size=3)),
    max_leaves=8,
)


@pytest.mark.slow
@given(tree=_trees, text=st.text("hosts: {}[]a\n\t-&*!|>'\"#%\0é", max_size=40))
def test_any_text_is_an_inventory_or_refused(tmp_path_factory: pytest.TempPathFactory, tree: object, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    for content in (text, f"hosts: {tree!r}", repr(tree), f"hosts: {{a: {tree!r}}}"):
        file.write_text(content)
        try:
            assert load_inventory(file).targets
        except InventoryError as refused:
            assert "any.yaml" in str(refused)  # noqa: PT017 - either end is right


@pytest.mark.parametrize("name", ["local.yaml", "example.yaml"])
def test_the_inventories_that_come_along_can_be_read(name: str) -> None:
    assert load_inventory(ROOT / "inventories" / name).targets


def test_a_pattern_selects_targets_and_one_that_matches_nothing_is_refused(file: Path) -> None:
    inventory = load(file, "hosts: {kvm-a: {guests: {ci-1: {}}}, kvm-b: {}}\n")
    assert [target.name for target in inventory.select(["kvm-*"]) if target.address] == ["kvm-a", "kvm-b"]
    assert [target.name for target in inventory.select(["ci-1", "kvm-b"])] == ["ci-1", "kvm-b"]
    with pytest.raises(UsageError, match=r"'db-\*' matches no target of .* \(it has .*\)$"):
        inventory.select(["kvm-*", "db-*"])


def test_a_guest_of_a_chosen_host_keeps_its_own_policy_though_nothing_looks_into_it(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("hosts: {kvm-a: {guests: {ci-1: {address: ssh://ci-1, nested: forbidden}}}, kvm-b: {}}")
    chosen = load_inventory(file).select(["kvm-a"])
    assert [(target.name, target.address is None) for target in chosen] == [("kvm-a", False), ("ci-1", True)]
    assert not chosen.targets[1].policy.is_required


@pytest.mark.parametrize("uri", ["", "here", "qemu:/system", "qemu:///a b"])
def test_a_libvirt_uri_is_one_or_none(tmp_path: Path, uri: str) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(f"hosts:\n  kvm-a:\n    libvirt: '{uri}'\n")
    with pytest.raises(InventoryError, match=r"fleet.yaml:3: hosts.kvm-a.libvirt: .* is not a libvirt URI"):
        load_inventory(file)


def test_the_example_has_every_key_and_every_policy() -> None:
    """The pages and `nested-kvm init` call it that."""
    words = set(re.findall(r"\w+", (ROOT / "inventories" / "example.yaml").read_text()))
    sections = (InventoryFile, EstateSection, KubernetesSection, PolicySection, HostSection, GuestSection)
    assert {key for section in sections for key in section.model_fields} | {*Nested, *Undeclared} <= words
