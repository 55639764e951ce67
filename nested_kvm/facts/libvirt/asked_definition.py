"""What a host's libvirt and QEMU, asked with `--active`, make of a domain's persistent definition.

    virsh domxml-to-native UUID           /usr/bin/qemu-system-x86_64 -machine pc-q35-7.2 -accel kvm -cpu EPYC,svm=on
    query-cpu-model-expansion UUID        {"svm": true, "vmx": null}

Sources: qapi/machine-target.json of QEMU, virsh(1).
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Final, Self

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.expansion import expanded, translated
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import Promise
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import printable

_ABOUT_CPU: Final = re.compile(r"\bcpu\b|machine type", re.IGNORECASE)
"""libvirt also refuses for what a host lacks besides: a network, a disk. That says nothing about the CPU."""
_NOT_ASKED: Final = re.compile(
    r"connect|socket|end of file|keepalive|/dev/stdin|denied|prevents|authentication", re.IGNORECASE
)
"""What virsh prints where libvirt did not answer, or not to this account: it does not refuse the definition."""


@dataclass(frozen=True, slots=True)
class AskedDefinition:
    """The answer, while the host offers the flag: without that, no definition gives it, and nothing was learned."""

    gives_flag: bool | None
    """None: libvirt refuses the definition."""
    reason: str
    """The `-cpu` that was expanded, or why libvirt refuses."""
    evidence: tuple[Evidence, ...]

    def decide(self, by_rule: Promise) -> Promise:
        """What the definition promises: the answer, whatever our rule says."""
        if self.gives_flag is None:
            if by_rule.gives_flag is Answer.NO:
                return by_rule
            return Promise(Answer.UNKNOWN, f"libvirt on this host, asked, refuses the definition: {self.reason}")
        answer = Answer.YES if self.gives_flag else Answer.NO
        agreed = by_rule.reason if by_rule.gives_flag is answer else "it was asked"
        gives = "gives it" if self.gives_flag else "does not give it"
        cause = None if self.gives_flag else by_rule.cause or Cause.FEATURE_DISABLED
        return Promise(answer, f"{agreed}; QEMU on this host {gives} for {self.reason}", cause)

    def beside(self, by_rule: Promise, source: str) -> Self:
        """The answer with the rule's own in its evidence, where they differ."""
        if self.gives_flag is None or by_rule.gives_flag is (Answer.YES if self.gives_flag else Answer.NO):
            return self
        other = {Answer.YES: "gives it", Answer.NO: "does not give it", Answer.UNKNOWN: "decides nothing"}
        text = f"by the rule this {other[by_rule.gives_flag]}: {by_rule.reason}; the host's own answer decides"
        return replace(self, evidence=(*self.evidence, Evidence(source, text)))


def why_unanswered(bundle: Bundle, question: str) -> str:
    """Why the readings about a question decide nothing, in words for the middle of a sentence."""
    translation, expansion = (bundle.readings.get(source) for source in (translated(question), expanded(question)))
    if translation is None:
        return "it was not asked"
    if translation.status is Status.NOT_COLLECTED:
        return _why(translation)
    if not translation.is_ok:
        return f"libvirt there did not translate it: {_why(translation)}"
    if expansion is None or not expansion.is_ok:
        return f"QEMU there did not expand it: {'no answer' if expansion is None else _why(expansion)}"
    return f"QEMU there does not show the flag: {printable(expansion.text, 200)}"


def _why(reading: Reading) -> str:
    words = {Status.TIMED_OUT: "it did not end in time", Status.MISSING: "it is not installed there"}
    return words.get(reading.status) or printable(reading.text, 300) or reading.status.value


def asked_definition_of(
    bundle: Bundle, uuid: str, vendor: Vendor, *, is_cpu_alone: bool = False
) -> AskedDefinition | None:
    """The answer about one domain; None: it was not asked, or the answer does not show the flag.

    `is_cpu_alone`: a question about a candidate has a CPU and a machine, and nothing else for which it is refused.
    """
    translation, expansion = (bundle.readings.get(source) for source in (translated(uuid), expanded(uuid)))
    if translation is None:
        return None
    if translation.status is Status.FAILED and _is_refusal(translation.text, is_cpu_alone=is_cpu_alone):
        reason = printable(translation.text, 300)
        return AskedDefinition(None, reason, (Evidence(translation.source, reason),))
    flag = _flag(expansion, vendor) if translation.is_ok else None
    if flag is None or expansion is None:
        return None
    cpu = printable(translation.text.partition(" -cpu ")[2] or "QEMU's default CPU", 300)
    shown = Evidence(expansion.source, printable(expansion.text, 100))
    return AskedDefinition(flag, cpu, (Evidence(translation.source, printable(translation.text, 400)), shown))


def _is_refusal(text: str, *, is_cpu_alone: bool) -> bool:
    if _ABOUT_CPU.search(text):
        return True
    return is_cpu_alone and bool(text.strip()) and _NOT_ASKED.search(text) is None


def _flag(expansion: Reading | None, vendor: Vendor) -> bool | None:
    if expansion is None or not expansion.is_ok:
        return None
    try:
        answer = json.loads(expansion.text)
    except (ValueError, RecursionError):
        return None
    flag = answer.get(vendor.flag) if isinstance(answer, dict) else None
    return flag if isinstance(flag, bool) else None
