"""An estate in which anything may stand anywhere is a whole inventory, or an error: never a traceback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.make_estates import FILES
from nested_kvm.errors import InventoryError
from nested_kvm.fleet.estates.load import load_fleet

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just([]),
    st.just({}),
    st.just([[{}]]),
    st.just({"name": ["a"], "labels": 3}),
    st.sampled_from(["x" * 300, "\x1b[2J", "a\nb", "-oProxyCommand=x", "::add-mask::x", "\u202e"]),
)
ESTATES = {
    "kubevirt": "estate.json",
    "incus": "estate.json",
    "openstack": "servers.json",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = json.loads(json.dumps(document))
    found = copy
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = value
    return copy


def hold(path: Path) -> None:
    """Load it: an error is a usage error; a fleet has distinct names, and a host for each of its guests."""
    try:
        fleet = load_fleet(path)
    except InventoryError:
        return
    names = [each.name for each in fleet.inventory]
    hosts = {each.name for each in fleet.inventory if each.host is None}
    assert len(names) == len(set(names))
    assert {each.host for each in fleet.inventory if each.host} <= hosts
    assert all(each.name.isprintable() for each in fleet.inventory)
    assert all("\n" not in line for line in fleet.inventory.left_out)


@pytest.mark.parametrize("name", ESTATES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_may_stand_anywhere(name: str, data: st.DataObject, tmp_path: Path) -> None:
    document = json.loads(dict(FILES[name]())[ESTATES[name]])
    place = data.draw(st.sampled_from(list(places(document))))
    path = tmp_path / "estate.json"
    path.write_text(json.dumps(changed(document, place, data.draw(VALUES))))
    hold(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
    file=st.sampled_from(["nodes/p/qemu-server/100.conf", ".members", "virtual-guest/cpu-models.conf"]),
)
def test_any_text_may_stand_in_a_file_of_proxmox(text: bytes, file: str, tmp_path: Path) -> None:
    for each in ("nodes/p/qemu-server/100.conf", file):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_bytes(b"cpu: host\n" if each != file else text)
    hold(tmp_path)
    (tmp_path / file).unlink()
