"""The parts of a fleet that do not depend on each other: a host with its guests, and with the hosts of its group."""

from collections.abc import Iterable

from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import Target

_Node = tuple[str, str]


class ConnectedParts:
    """Collects machines as they are observed, and returns each part of the fleet once all of it was."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._parents: dict[_Node, _Node] = {}
        ordered = list(targets)
        for target in ordered:
            self._join(_node(target.name), _node(target.host or target.name))
            if target.group is not None:
                self._join(_node(target.name), ("group", target.group))
        self._names: dict[_Node, list[str]] = {}
        for target in ordered:
            self._names.setdefault(self._root(_node(target.name)), []).append(target.name)
        self._seen: dict[_Node, dict[str, Machine]] = {}

    def add(self, machine: Machine) -> list[Machine]:
        """Return all machines of a part, in the inventory's order, if this one was the last of it; else none."""
        root = self._root(_node(machine.target.name))
        names, seen = self._names[root], self._seen.setdefault(root, {})
        seen[machine.target.name] = machine
        if len(seen) < len(names):
            return []
        del self._seen[root]
        return [seen[name] for name in names]

    def _join(self, one: _Node, other: _Node) -> None:
        self._parents[self._root(one)] = self._root(other)

    def _root(self, node: _Node) -> _Node:
        while (parent := self._parents.setdefault(node, node)) != node:
            self._parents[node] = node = self._parents[parent]
        return node


def _node(target: str) -> _Node:
    return "target", target
