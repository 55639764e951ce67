"""Which form each file has, and the guests that all of them define together.

Some files define no guest and still decide one: the cluster's KubeVirt resource, Proxmox's cpu-models.conf, a profile
of Incus. They are read beside the others.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition import incus, kcli, kubevirt, nova, proxmox, terraform, virt_install
from nested_kvm.facts.definition.definition_file import DefinitionFile, DefinitionUnusable
from nested_kvm.facts.definition.kubevirt_nodes import KubernetesNode, kubernetes_nodes
from nested_kvm.facts.definition.libvirt_xml import domain_of_xml
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.util.document import Part, json_document, yaml_documents

KNOWN_FORMS: Final = (
    "libvirt domain XML, a KubeVirt or Kubernetes manifest, a Proxmox VE conf (NNN.conf) or its cpu-models.conf, an"
    " Incus instance or profile, a Terraform plan in JSON, a nova.conf, a virt-install command line, a kcli plan"
)
_PROXMOX_NAME: Final = re.compile(r"\d{1,9}\.conf")
_DATA: Final = frozenset({".yaml", ".yml", ".json"})
_WORDS: Final = re.compile(
    r"kubevirt\.io|<domain\b|libvirt|raw\.qemu|volatile\.|ephemeral|virtual-?machine|cpu-?model|numcpus|\bnested:|virt-install"
    r"|Vagrant",
    re.IGNORECASE,
)
"""At least one is in every file that defines guests, broken or not; a conf of Proxmox VE is known by its name."""
_VAGRANT: Final = (
    "a Vagrantfile is a program in Ruby, and only Ruby shows what it defines: start its machine once, and give the"
    " XML that `virsh dumpxml --inactive` prints"
)


@dataclass(frozen=True, slots=True)
class Definitions:
    """What all files define together."""

    domains: tuple[Domain, ...]
    without_guest: tuple[str, ...]
    """The names of the files that define no guest."""
    nodes: tuple[KubernetesNode, ...] = ()
    """The nodes of a KubeVirt cluster that they describe."""


class UnknownForm(NotObserved):
    """A file has no form in which guests are defined."""


@dataclass
class _Content:
    """What one file holds, by form."""

    file: DefinitionFile
    objects: list[Part] = field(default_factory=list)
    plans: list[Part] = field(default_factory=list)
    kcli_plans: list[Part] = field(default_factory=list)
    instances: list[tuple[Part, str]] = field(default_factory=list)
    profiles: list[Part] = field(default_factory=list)
    confs: list[proxmox.Conf] = field(default_factory=list)
    models: dict[str, proxmox.CustomModel] = field(default_factory=dict)
    domains: list[Domain] = field(default_factory=list)


def domains_in(files: Sequence[DefinitionFile], *, skip_others: bool = False) -> Definitions:
    """The guests that files define, each with its file and place.

    Guests of one name get the place as a part of theirs. With `skip_others` a file or a document of no known form
    defines none, and neither does a file that cannot be parsed and has no word of any.

    Raises:
        DefinitionUnusable: a file is of no known form, or not well-formed.
    """
    contents = [_content(file, skip_others=skip_others) for file in files]
    everything = [each for content in contents for each in content.objects]
    profiles = [each for content in contents for each in content.profiles]
    models = _agreed(content.models for content in contents)
    found: list[Domain] = []
    nodes: list[KubernetesNode] = []
    without: list[str] = []
    for content in contents:
        try:
            own = [
                *content.domains,
                *kubevirt.kubevirt_domains(content.objects, everything),
                *(domain for plan in content.plans for domain in terraform.terraform_domains(plan)),
                *(domain for plan in content.kcli_plans for domain in kcli.kcli_domains(plan)),
                *incus.incus_domains(content.instances, profiles),
                *proxmox.proxmox_domains(content.confs, models),
            ]
            nodes += kubernetes_nodes(content.objects)
        except DefinitionUnusable:
            raise
        except NotObserved as error:
            raise DefinitionUnusable(content.file, error) from None
        found += [replace(each, file=content.file.name) for each in own]
        without += [] if own else [content.file.name]
    return Definitions(tuple(_distinct(found)), tuple(without), tuple(nodes))


def _agreed(files: Iterable[Mapping[str, proxmox.CustomModel]]) -> dict[str, proxmox.CustomModel]:
    """The custom models of all files, without those of which two files differ, as those of two clusters may."""
    found: dict[str, set[proxmox.CustomModel]] = {}
    for models in files:
        for name, model in models.items():
            found.setdefault(name, set()).add(model)
    return {name: next(iter(models)) for name, models in found.items() if len(models) == 1}


def _distinct(domains: Sequence[Domain]) -> list[Domain]:
    shared = {name for name, count in Counter(domain.name for domain in domains).items() if count > 1}
    return [
        replace(each, name=f"{each.name} ({each.file}{each.place})") if each.name in shared else each
        for each in domains
    ]


def _content(file: DefinitionFile, *, skip_others: bool) -> _Content:
    content = _Content(file)
    try:
        _fill(content)
    except UnknownForm as error:
        if not skip_others:
            raise DefinitionUnusable(file, error) from None
    except NotObserved as error:
        if not skip_others or _may_define_a_guest(file):
            raise DefinitionUnusable(file, error) from None
    return content


def _may_define_a_guest(file: DefinitionFile) -> bool:
    is_proxmox = _PROXMOX_NAME.fullmatch(PurePath(file.name).name) is not None
    return file.is_xml or is_proxmox or _WORDS.search(file.text) is not None


def _fill(content: _Content) -> None:
    path, text = PurePath(content.file.name), content.file.text
    start = text.lstrip()[:1]
    if content.file.is_xml:
        content.domains.append(domain_of_xml(text))
        return
    if path.name == "Vagrantfile" or path.suffix == ".rb":
        raise NotObserved(_VAGRANT)
    if path.suffix == ".conf":
        _fill_conf(content, path)
    elif start == "<" or path.suffix == ".xml":
        content.domains.append(domain_of_xml(text))
    elif start in {"{", "["} and path.suffix not in {".yaml", ".yml"}:
        _take_document(content, json_document(text))
    elif path.suffix not in _DATA and virt_install.names_virt_install(text):
        content.domains.extend(virt_install.virt_install_domains(text))
    else:
        _take_documents(content, _documents(text, path))


def _fill_conf(content: _Content, path: PurePath) -> None:
    text = content.file.text
    if _PROXMOX_NAME.fullmatch(path.name):
        content.confs.append(proxmox.parse_conf(text, path.stem))
    elif proxmox.is_models_file(text):
        content.models.update(proxmox.parse_models(text))
    elif nova.is_nova_conf(text):
        content.domains.append(nova.nova_domain(text))
    else:
        raise UnknownForm(f"is not one of the known forms: {KNOWN_FORMS}")


def _documents(text: str, path: PurePath) -> list[Part]:
    documents = yaml_documents(text)
    if not documents and path.suffix not in _DATA:
        raise UnknownForm(f"is not one of the known forms: {KNOWN_FORMS}")
    return documents


def _take_documents(content: _Content, documents: Iterable[Part]) -> None:
    """Take all, so that a guest behind a document of another kind is not lost where that is skipped."""
    unknown: UnknownForm | None = None
    for document in documents:
        try:
            _take_document(content, document)
        except UnknownForm as error:
            unknown = unknown or error
    if unknown is not None:
        raise unknown


def _take_document(content: _Content, document: Part) -> None:
    stem = PurePath(content.file.name).stem
    if isinstance(document.value, list):
        content.instances.extend((entry, stem) for entry in document.entries() if _is_listed_instance(entry))
    elif kubevirt.is_kubernetes(document):
        content.objects.extend(kubevirt.objects_in([document]))
    elif terraform.is_plan(document):
        content.plans.append(document)
    elif incus.is_profile(document):
        content.profiles.append(document)
    elif incus.is_instance(document):
        content.instances.append((document, stem))
    elif kcli.is_plan(document):
        content.kcli_plans.append(document)
    else:
        raise UnknownForm(f"{_line(document)}is not one of the known forms: {KNOWN_FORMS}")


def _is_listed_instance(entry: Part) -> bool:
    if not incus.is_instance(entry):
        raise NotObserved(f"{entry.path} is not an instance of Incus{_line(entry)}")
    return True


def _line(document: Part) -> str:
    return "" if document.line is None else f"line {document.line}: "
