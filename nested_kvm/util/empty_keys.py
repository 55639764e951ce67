"""Keys of a file that stand there without a value, as a template that found none leaves them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, model_validator


class WithoutEmptyKeys(BaseModel):
    """A section in which a key has a value or is left out.

    In YAML `cause:` alone is null, which would be the default: a waiver of one cause became one of any.
    """

    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Keys of which the section itself says what is missing."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_empty_key(cls, data: Any) -> Any:
        given = data if isinstance(data, Mapping) else {}
        for name, field in cls.model_fields.items():
            if field.default is None and given.get(name, ...) is None and name not in cls.may_be_empty:
                raise ValueError(f"`{name}` is empty: give it a value, or leave it out")
        return data
