"""A libvirt domain's XML, as `virsh define` takes it.

Sample::

    <domain type='kvm'><name>ci-1</name><cpu mode='host-passthrough'/></domain>
"""

from dataclasses import replace
from xml.parsers.expat import ExpatError, ParserCreate

from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.expansion.question import question_of
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.facts.definition.candidate_domain import STATE, checked_name
from nested_kvm.facts.libvirt.domain import Domain, domain_of
from nested_kvm.model.form import Form


def domain_of_xml(text: str) -> Domain:
    """The domain that the XML defines.

    Raises:
        NotObserved: it is not domain XML, or has no name.
    """
    reduced = reduce_domain_xml(text)
    name = checked_name(parse_domain_xml(reduced).findtext("name"), "it has no <name>")
    record = DomainRecord(name, "", STATE, is_persistent=True, inactive_xml=reduced)
    domain, question = domain_of(record), question_of(parse_domain_xml(text))
    return replace(domain, form=Form.LIBVIRT, place=f":{_line_of_the_cpu(text)}", question=question)


def _line_of_the_cpu(text: str) -> int:
    """The line of the domain's `<cpu>`; 1 where it has none. The text was parsed before, without a DTD."""
    parser, depth, found = ParserCreate(), 0, 0

    def start(tag: str, _attributes: dict[str, str]) -> None:
        nonlocal depth, found
        depth += 1
        if tag == "cpu" and depth == 2 and not found:  # noqa: PLR2004 - a child of <domain>
            found = parser.CurrentLineNumber

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(text, True)  # noqa: FBT003 - it takes no name
    except ExpatError:
        return 1
    return found or 1
