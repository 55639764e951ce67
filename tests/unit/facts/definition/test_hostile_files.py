"""Files that are broken or made to harm: one clear error each, and never a guest that they do not define."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.definition_file import DefinitionFile, DefinitionUnusable
from nested_kvm.facts.definition.definition_files import Definitions, domains_in
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.answer import Answer
from tests.support.defined import defined, gives, only

VMI = "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: ci-1}\n"
LAUGHS = "\n".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20))])
"""Ten to the nineteenth words, if anyone expanded it."""

REFUSED = {
    "an empty YAML": ("vm.txt", "", "is not one of the known forms"),
    "any YAML": ("vm.yaml", "services: {web: {image: x}}", "line 1: is not one of the known forms"),
    "a word": ("vm.yaml", "hello", "line 1: is not one of the known forms"),
    "an unknown list": ("vm.yaml", "- a\n- b", "[0] is not an instance of Incus"),
    "YAML that is cut": ("vm.yaml", f"{VMI}spec: {{domain: [", "line 4: "),
    "a template of Helm's": ("vm.yaml", "kind: {{ .Values.kind }}\n", "line 1: "),
    "a key given twice": ("vm.yaml", f"{VMI}kind: Pod\n", 'line 4: found duplicate key "kind"'),
    "a key of JSON given twice": ("vm.json", '{"kind": "a",\n"kind": "b"}', "the key 'kind' is given twice"),
    "deep YAML": ("vm.yaml", "a: " + "[" * 5000, "is nested too deeply"),
    "deep JSON": ("vm.json", '{"a":' * 100_000, "is nested too deeply"),
    "deep XML": ("vm.xml", "<domain><name>x</name>" + "<a>" * 50_000, "not well-formed"),
    "cut JSON": ("vm.json", '{"apiVersion": "v1",\n"kind"', "line 2: is not JSON"),
    "a number without end": ("vm.json", '{"a": ' + "9" * 5000 + "}", "is not JSON"),
    "a huge YAML": ("vm.yaml", VMI + "#\n" * 600_000, "is larger than 1 MiB of YAML: write it as JSON"),
    "a long comment": ("vm.yaml", f"{VMI}# {'x' * 9000}\n", "line 4: has a comment in a line of more than 8 KiB"),
    "an alias to nothing": ("vm.yaml", f"{VMI}spec: *absent\n", "line 4: found undefined alias"),
    "a control character": ("vm.yaml", f"{VMI}spec: \x00\n", "is not YAML"),
    "a tag of Python's": ("vm.yaml", f"{VMI}spec: !!python/object:os.system [id]\n", "spec is not a mapping"),
    "an entity": ("vm.xml", "<!DOCTYPE d [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>", "DTDForbidden"),
    "a Vagrantfile": ("Vagrantfile", 'Vagrant.configure("2") { }', "a Vagrantfile is a program in Ruby"),
    "a conf of something else": ("100.conf", "[Unit]\nAfter=network.target\n", "line 2: is not a line of a Proxmox VE"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_its_name_and_its_line(name: str) -> None:
    file, text, says = REFUSED[name]
    with pytest.raises(DefinitionUnusable) as error:
        defined((file, text))
    message = str(error.value)
    assert message.startswith(f"{file}: ")
    assert says in message
    assert message.isprintable()
    assert len(message) < 600


def test_aliases_are_never_expanded() -> None:
    text = f"{VMI}{LAUGHS}\nspec: {{domain: {{cpu: {{model: host-passthrough}}, devices: *a19}}}}\n"
    assert gives(only(("vm.yaml", text))) == (Answer.YES, Answer.YES)


def test_an_alias_that_contains_itself_ends() -> None:
    assert defined(("vm.yaml", f"{VMI}spec: &s {{domain: {{cpu: {{model: EPYC}}, again: *s}}}}\n"))[0].name == "ci-1"


def test_guests_of_one_name_are_told_apart_by_their_place() -> None:
    text = f"{VMI}spec: {{domain: {{}}}}\n"
    names = [each.name for each in defined(("a.yaml", text), ("b.yaml", f"{text}---\n{text}"))]
    assert names == ["ci-1 (a.yaml:4)", "ci-1 (b.yaml:4)", "ci-1 (b.yaml:9)"]


def test_a_file_without_a_guest_is_named() -> None:
    files = [DefinitionFile("a.yaml", "apiVersion: v1\nkind: Pod\n"), DefinitionFile("b.yaml", "- web\n")]
    assert domains_in(files[:1]) == Definitions((), ("a.yaml",))
    with pytest.raises(NotObserved):
        domains_in(files)


def test_others_may_be_skipped_but_not_what_is_broken() -> None:
    others = [DefinitionFile("compose.yaml", "services: {}\n"), DefinitionFile("empty.txt", "")]
    assert domains_in(others, skip_others=True) == Definitions((), ("compose.yaml", "empty.txt"))
    with pytest.raises(DefinitionUnusable):
        domains_in([DefinitionFile("vm.yaml", f"{VMI}spec: [\n")], skip_others=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("playbook.yaml", "- hosts: all\n"),
        ("list.json", '[{"a": 1}]'),
        ("numbers.json", "[1, 2]"),
        ("cut.json", '{"a": '),
        ("pom.xml", "<project><modules/></project>"),
        ("chart.yaml", "{{- if .Values.on }}\na: b\n{{- end }}\n"),
        ("tabs.yaml", "a:\n\t- b\n"),
        ("server.conf", "[main]\na = 1\n"),
    ],
)
def test_what_other_tools_read_is_skipped_where_others_may_be(name: str, text: str) -> None:
    assert domains_in([DefinitionFile(name, text)], skip_others=True) == Definitions((), (name,))
    with pytest.raises(NotObserved):
        domains_in([DefinitionFile(name, text)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chart.yaml", f"{{{{- if .Values.on }}}}\n{VMI}{{{{- end }}}}\n"),
        ("chart.yaml", "apiVersion: {{ .Values.api }}\nkind: VirtualMachine\n"),
        ("plan.yml", "ci-1: {{ vm }}\n  nested: true\n"),
        ("list.json", '[{"a": 1}, {"apiVersion": "kubevirt.io/v1"}]'),
        ("cut.json", '{"name": "ci-1", "config": {"volatile.uuid": '),
        ("cut.xml", "<domain type='kvm'><name>"),
        ("100.conf", "cpu host\n"),
        ("nova.conf", "[libvirt]\ncpu_mode = other\n"),
    ],
)
def test_what_may_define_a_guest_is_never_skipped(name: str, text: str) -> None:
    with pytest.raises(DefinitionUnusable):
        domains_in([DefinitionFile(name, text)], skip_others=True)


@pytest.mark.parametrize("other", ["a: 1\n", "services: {web: {image: nginx}}\n"])
@pytest.mark.parametrize("behind", [True, False])
def test_a_guest_beside_another_document_is_not_skipped_with_it(*, other: str, behind: bool) -> None:
    guest = f"{VMI}spec: {{domain: {{}}}}\n"
    parts = [other, guest] if behind else [guest, other]
    found = domains_in([DefinitionFile("both.yaml", "---\n".join(parts))], skip_others=True)
    assert [each.name for each in found.domains] == ["ci-1"]


@given(st.text(max_size=200), st.sampled_from(["vm.yaml", "vm.json", "vm.xml", "100.conf", "vm.sh", "cpu-models.conf"]))
def test_any_text_is_guests_or_an_error(text: str, name: str) -> None:
    for noise in (text, f"{VMI}spec: {text}", f"virt-install {text}", f"cpu: host\n{text}", json.dumps([text])):
        assert all(each.name.isprintable() for each in guests_or_none(name, noise))


def guests_or_none(name: str, text: str) -> list[Domain]:
    try:
        return defined((name, text))
    except DefinitionUnusable:
        return []
