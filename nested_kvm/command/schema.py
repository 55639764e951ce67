"""The JSON Schemas of the files that people write and programs read.

`python -m nested_kvm.command.schema` writes those of inventory and waivers into `nested_kvm/schema/`.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from nested_kvm.inventory.schema import InventoryFile
from nested_kvm.results.waiver_file import WaiverFile
from nested_kvm.util.home import PACKAGE

_WRITTEN: Mapping[str, type[BaseModel]] = {"inventory": InventoryFile, "waivers": WaiverFile}


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which repeat the keys, and null, which is no value of any (`WithoutEmptyKeys`)."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        is_null = schema.get("default", ...) is None
        return self.generate_inner(schema["schema"]) if is_null else super().default_schema(schema)


def schema(name: str) -> str:
    """Return the schema of `inventory`, `waivers`, `advisories`, `results` or `evidence`, as text."""
    return files("nested_kvm").joinpath("schema", f"{name}-1.schema.json").read_text(encoding="utf-8")


def generated(name: str) -> str:
    """Return the schema of `inventory` or `waivers`, made from the model that reads the file."""
    made = _WRITTEN[name].model_json_schema(schema_generator=_Generator)
    for each in made.get("$defs", {}).values():
        each.pop("title", None)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"nested-kvm-compliance/{name}/1",
        "title": name,
    }
    return json.dumps({**made, **head}, indent=2) + "\n"


if __name__ == "__main__":
    for each in _WRITTEN:
        (PACKAGE / "schema" / f"{each}-1.schema.json").write_text(generated(each), encoding="utf-8")
