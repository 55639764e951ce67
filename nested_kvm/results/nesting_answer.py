"""The question of the audit, answered for one target in one line: can it nest now, and after the next boot?"""

from collections.abc import Sequence
from dataclasses import dataclass

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.policy import Nested


@dataclass(frozen=True, slots=True, kw_only=True)
class NestingAnswer:
    """Of a host, whether its guests can nest; of a guest, whether it can."""

    target: str
    level: TargetLevel
    host: str | None
    nested: Nested | None
    """What the policy asks for here: required or forbidden; None: it is guarded, and its kernel does not decide."""
    now: Answer
    after_boot: Answer
    """After the next boot of the host."""
    cause: Cause | None = None
    """Why the answer is not the one that the policy asks for; None: it is, or no cause is known."""
    source: str = ""
    """The reading that shows it, such as a file and line."""
    reason: str = ""
    """In words: why an answer is no, or is not known."""
    running: Sequence[str] = ()
    """Of a host: the domains that run on it, as far as libvirt lists them."""

    @property
    def complies(self) -> bool | None:
        """Whether both answers are what the policy asks for; None: that is not known."""
        wanted = {Nested.REQUIRED: Answer.YES, Nested.FORBIDDEN: Answer.NO}.get(self.nested or Nested.GUARDED)
        answers = {self.now, self.after_boot}
        if wanted is None:
            return None
        if answers == {wanted}:
            return True
        return None if answers <= {wanted, Answer.UNKNOWN} else False
