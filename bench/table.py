"""The figures for people."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.measurement import Figure
from bench.ratios import Ratio
from bench.sshd_log import Range

_COLUMNS: Final[dict[str, Callable[[Figure], str]]] = {
    "hosts": lambda figure: str(figure.hosts or "-"),
    "seconds": lambda figure: f"{figure.seconds:.2f}",
    "ms/host": lambda figure: "-" if figure.seconds_per_host is None else f"{figure.seconds_per_host * 1000:.1f}",
    "CPU s": lambda figure: f"{figure.cpu_seconds:.2f}",
    "hosts' CPU": lambda figure: f"{figure.hosts_cpu_seconds:.2f}" if figure.hosts else "-",
    "proxy's": lambda figure: f"{figure.proxy_cpu_seconds:.2f}" if figure.hosts else "-",
    "peak MB": lambda figure: f"{figure.peak_mb:.0f}",
    "logins": lambda figure: _counted(figure.runs[-1].logins),
    "executions": lambda figure: _counted(figure.runs[-1].executions),
    "results": lambda figure: str(figure.runs[-1].results or "-"),
    "first s": lambda figure: "-" if figure.first_verdict is None else f"{figure.first_verdict:.2f}",
}
"""Logins and executions are per host: the least and the most where these differ."""


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Give one line for each figure, below a head."""
    rows = [["", *_COLUMNS], *([each.name, *(cell(each) for cell in _COLUMNS.values())] for each in figures)]
    yield from _aligned(rows)


def targets(found: Sequence[Ratio]) -> Iterator[str]:
    """Give one line for each ratio, with its target beside it."""
    rows = [["", "found", "target", ""]]
    rows += [[each.name, f"{each.value:.2f}{each.unit}", each.wanted, _met(each)] for each in found]
    yield from _aligned(rows)


def _met(ratio: Ratio) -> str:
    return "met" if ratio.is_met else "not met"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *padded]).rstrip()


def _counted(found: Range | None) -> str:
    return "-" if found is None else str(found)
