"""Keys of a file that stand there without a value, as a template that found none leaves them."""

from typing import Any, ClassVar

from pydantic import BaseModel, ValidationInfo, field_validator


class WithoutEmptyKeys(BaseModel):
    """A section in which a key has a value or is left out.

    In YAML `cause:` alone is null, which would be the default: a waiver of one cause became one of any.
    """

    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Keys of which the section itself says what is missing."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_empty(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        # What is not given is not validated, unless the field asks for that.
        if value is None and cls.model_fields[name].default is None and name not in cls.may_be_empty:
            raise ValueError("is empty: give it a value, or leave it out")
        return value
