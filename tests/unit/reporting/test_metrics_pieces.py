"""The metrics of a large fleet are written piece by piece, and are the same."""

import pytest

from nested_kvm.reporting.formats import metrics
from nested_kvm.reporting.formats.metrics import metrics_pieces, metrics_text
from tests.support.many_hosts import run_of_hosts


def test_pieces_are_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of_hosts(20)
    whole = metrics_text(run)
    monkeypatch.setattr(metrics, "_AT_ONCE", 7)
    assert "".join(metrics_pieces(run)) == whole
    assert max(piece.count("\n") for piece in metrics_pieces(run)) <= 7 + 2
    names = [line.split()[2] for line in whole.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 5
