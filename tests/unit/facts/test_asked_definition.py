"""The answer of the host's own programs decides over the rule, and only where there is one."""

import json

import pytest

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.expansion import expanded, translated
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.asked_definition import AskedDefinition, asked_definition_of
from nested_kvm.facts.libvirt.cpu_definition import Promise
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from tests.support.bundles import bundle_of

UUID = "5fb3a1c4-0c53-4b8e-9d58-7f1d7c6d0a11"
RULES = {
    Answer.YES: Promise(Answer.YES, "the rule says yes"),
    Answer.NO: Promise(Answer.NO, "the rule says no", Cause.HOST_MODEL_DROPS_SVM),
    Answer.UNKNOWN: Promise(Answer.UNKNOWN, "no rule decides"),
}


def bundle(answer: object, *, status: Status = Status.OK, printed: str = "/usr/bin/qemu -cpu EPYC,svm=on") -> Bundle:
    readings = [Reading(translated(UUID), status, printed)]
    if answer is not None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        readings.append(Reading(expanded(UUID), Status.OK, text))
    return bundle_of(*readings)


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
@pytest.mark.parametrize("flag", [True, False])
def test_it_decides_over_every_rule(rule: Promise, *, flag: bool) -> None:
    asked = asked_definition_of(bundle({"svm": flag, "vmx": None}), UUID, Vendor.AMD)
    assert asked is not None
    promise = asked.decide(rule)
    assert promise.gives_flag is (Answer.YES if flag else Answer.NO)
    assert "EPYC,svm=on" in promise.reason
    assert (promise.cause is None) is flag
    assert [each.source for each in asked.evidence] == [translated(UUID), expanded(UUID)]


def test_the_rules_cause_is_kept_where_both_say_no() -> None:
    asked = AskedDefinition(gives_flag=False, reason="EPYC", evidence=())
    assert asked.decide(RULES[Answer.NO]).cause is Cause.HOST_MODEL_DROPS_SVM
    assert asked.decide(RULES[Answer.YES]).cause is Cause.FEATURE_DISABLED


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_a_refused_definition_gives_nothing_that_was_promised(rule: Promise) -> None:
    refused = bundle(None, status=Status.FAILED, printed="error: CPU is incompatible with host CPU")
    asked = asked_definition_of(refused, UUID, Vendor.AMD)
    assert asked is not None
    promise = asked.decide(rule)
    assert promise.gives_flag is (Answer.NO if rule.gives_flag is Answer.NO else Answer.UNKNOWN)
    assert rule.gives_flag is Answer.NO or "incompatible" in promise.reason


def test_a_refusal_for_another_reason_decides_nothing() -> None:
    refused = bundle(None, status=Status.FAILED, printed="error: Network not found: no network with name 'lan'")
    assert asked_definition_of(refused, UUID, Vendor.AMD) is None


@pytest.mark.parametrize(
    "answer",
    [None, {}, {"svm": None}, {"svm": "true"}, {"vmx": True}, {"error": "not known"}, [], "", "{", "[" * 5000],
)
def test_an_answer_without_the_flag_decides_nothing(answer: object) -> None:
    assert asked_definition_of(bundle(answer), UUID, Vendor.AMD) is None


@pytest.mark.parametrize("status", [Status.MISSING, Status.TIMED_OUT, Status.UNREADABLE])
def test_a_translation_that_was_not_made_decides_nothing(status: Status) -> None:
    assert asked_definition_of(bundle({"svm": True}, status=status), UUID, Vendor.AMD) is None
