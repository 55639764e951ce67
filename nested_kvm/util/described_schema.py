"""JSON Schema in which the string below an attribute is the description of its key.

pydantic's own `use_attribute_docstrings` parses each class while it is imported: an eighth of a second at every start,
for texts that only a schema shows.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override


class DescribedSchema(GenerateJsonSchema):
    """Generates that schema."""

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model = schema["cls"]
        described = {name: text for each in reversed(model.__mro__) for name, text in _docstrings(each)}
        for name, field in model.model_fields.items():
            if name in described:
                found["properties"][field.alias or name].setdefault("description", described[name])
        return found


def _docstrings(model: type) -> Iterator[tuple[str, str]]:
    """Yield each annotated attribute that a string follows, and that string."""
    if not issubclass(model, BaseModel) or model is BaseModel:
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    for statement, after in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
