"""The JSON Schemas of the files that people write and programs read."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from nested_kvm.inventory.schema import InventoryFile
from nested_kvm.results.waiver_file import WaiverFile

_WRITTEN: Mapping[str, type[BaseModel]] = {"inventory": InventoryFile, "waivers": WaiverFile}


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which repeat the keys."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema(name: str) -> str:
    """Return the schema of `inventory`, `waivers`, `results` or `evidence`, as text."""
    model = _WRITTEN.get(name)
    if model is None:
        return files("nested_kvm").joinpath("schema", f"{name}-1.schema.json").read_text(encoding="utf-8")
    return _of_model(name, model)


def _of_model(name: str, model: type[BaseModel]) -> str:
    generated = model.model_json_schema(schema_generator=_Generator)
    for each in generated.get("$defs", {}).values():
        each.pop("title", None)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"nested-kvm-compliance/{name}/1",
        "title": name,
    }
    return json.dumps({**generated, **head}, indent=2) + "\n"
