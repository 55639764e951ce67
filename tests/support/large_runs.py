"""Runs of a fleet of any size, cut into shards: what a small recorded fleet came to, once for each of many copies."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nested_kvm.inventory.shard import fleet_digest

_NAME = re.compile(r'"(kvm|ci)-(?=[0-9]{4})')


def write_shards(folder: Path, document: dict[str, Any], copies: int, shards: int) -> list[Path]:
    """Write the run of `copies` fleets like that of `document`, as so many shards; return the folder of each."""
    parts = {part: _NAME.sub(r'"\1-COPY-', _lines(document[part])) for part in ("targets", "results", "diagnoses")}
    names = [target["name"] for target in document["targets"]]
    digest = fleet_digest(name.replace("-", f"-{copy:05}-", 1) for copy in range(copies) for name in names)
    folders = []
    for number in range(1, shards + 1):
        run = {**document["run"], "shard": {"number": number, "of": shards, "fleet": digest}}
        folders.append(folder / f"shard-{number}")
        folders[-1].mkdir(parents=True)
        with (folders[-1] / "results.json").open("w") as file:
            file.writelines(_text(document, run, parts, range(copies)[number - 1 :: shards]))
    return folders


def _text(document: dict[str, Any], run: dict[str, Any], parts: dict[str, str], copies: Sequence[int]) -> Iterator[str]:
    yield f'{{"schema": {json.dumps(document["schema"])}, "run": {json.dumps(run)}'
    for part, lines in parts.items():
        yield f', "{part}": ['
        yield ",\n".join(lines.replace("-COPY-", f"-{copy:05}-") for copy in copies)
        yield "]"
    yield ', "waivers": [], "drift": null}\n'


def _lines(rows: list[dict[str, Any]]) -> str:
    return ",\n".join(map(json.dumps, rows))
