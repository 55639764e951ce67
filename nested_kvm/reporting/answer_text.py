"""Whether a target nests, in one line each, the worst first, and how many targets are as the policy asks."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.run import Run
from nested_kvm.util.text import plural, printable

_WORDS: Final = {Answer.YES: "yes", Answer.NO: "no", Answer.UNKNOWN: "?"}
_STATE: Final = re.compile("/(sys|dev|proc/(?!cmdline))")
"""Where the kernel shows its state: no file that is changed to fix it."""
_RANK: Final = {False: 0, None: 1, True: 2}


def answers_of(run: Run) -> list[NestingAnswer]:
    """Return the answers of the targets that the run asked something of, the worst first, by severity."""
    answers = run.answers
    if run.is_partial:
        asked = {name for result in run.results.sorted_by_target() for name in (result.target, result.subject)}
        answers = [each for each in answers if each.target in asked]
    severity: dict[str, int] = {}
    for problem in run.problems.open:
        for name in {problem.place.target, problem.place.subject, *problem.held_back}:
            severity[name] = max(severity.get(name, 0), problem.severity)
    return sorted(answers, key=lambda each: (_RANK[each.complies], -_grave(each, severity), each.target))


def _grave(answer: NestingAnswer, severity: Mapping[str, int]) -> int:
    return 0 if answer.complies else severity.get(answer.target, 0)


def answer_line(answer: NestingAnswer) -> str:
    """Return one answer: `kvm-c  guests can nest: now yes · after reboot NO  /lib/modprobe.d/99-x.conf:1`."""
    whose = "can nest" if answer.level is TargetLevel.L1 else "guests can nest"
    now, later = _word(answer.now, answer.nested), _word(answer.after_boot, answer.nested)
    policy = " (must not)" if answer.nested is Nested.FORBIDDEN else ""
    line = f"{printable(answer.target)}  {whose}{policy}: now {now} · after reboot {later}"
    shown = "" if answer.complies else _shown(answer)
    return f"{line}  {shown}".rstrip()


def answers_line(answers: Sequence[NestingAnswer]) -> str:
    """Return how many targets are as the policy asks; those that must not nest, and cannot, are counted apart."""
    good = [each for each in answers if each.complies]
    forbidden = sum(each.nested is Nested.FORBIDDEN for each in good)
    able, wrong = len(good) - forbidden, sum(each.complies is False for each in answers)
    unknown = len(answers) - len(good) - wrong
    parts = [
        f"{able} can nest now and after a reboot" if able else "",
        f"{forbidden} must not nest and cannot" if forbidden else "",
        f"{wrong} not as required" if wrong else "",
        f"{unknown} undetermined" if unknown else "",
    ]
    return f"{plural(len(answers), 'target')}: {', '.join(filter(None, parts))}" if answers else ""


def _word(answer: Answer, nested: Nested | None) -> str:
    wrong = {Nested.REQUIRED: Answer.NO, Nested.FORBIDDEN: Answer.YES}.get(nested or Nested.GUARDED)
    return _WORDS[answer].upper() if answer is wrong else _WORDS[answer]


def _shown(answer: NestingAnswer) -> str:
    """The file and line that shows it; without a file the cause, or why it is not known."""
    if answer.complies is False and answer.source.startswith("/") and not _STATE.match(answer.source):
        return printable(answer.source)
    if answer.complies is False and answer.cause is not None:
        return answer.cause.code
    return printable(answer.reason, 100)
