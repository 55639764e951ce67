"""An answer to a question that the evidence may not decide."""

from enum import StrEnum


class Answer(StrEnum):
    """Yes, no, or not decided by the evidence."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
