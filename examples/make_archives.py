"""Regenerate the example archives: `python -m examples.make_archives`."""

import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.evaluation import readings_of
from tests.support.other_archives import insights_files, must_gather_files, supportconfig_files
from tests.support.sosreports import Files, sos_files, tar_of

ARCHIVES: Final = Path(__file__).parent / "archives"
Pack = Callable[..., Files]
MADE: Final[dict[str, tuple[Pack, str, str]]] = {
    "sosreport-kvm-21.tar.xz": (sos_files, "kvm-21", "amd-passes"),
    "sosreport-kvm-22.tar.xz": (sos_files, "kvm-22", "amd-nested-y"),
    "supportconfig-kvm-25.txz": (supportconfig_files, "kvm-25", "amd-passes"),
    "supportconfig-kvm-26.txz": (supportconfig_files, "kvm-26", "amd-nested-off"),
    "insights-kvm-23.tar.xz": (insights_files, "kvm-23", "amd-passes"),
    "insights-kvm-24.tar.xz": (insights_files, "kvm-24", "amd-firmware-disabled"),
    "must-gather-worker-1.tar.xz": (must_gather_files, "worker-1", "amd-passes"),
    "must-gather-worker-2.tar.xz": (must_gather_files, "worker-2", "amd-running"),
}
"""By file: the tool whose archive it is, the machine's name in it, and the recorded machine that it is made of."""


def files_of(name: str) -> Files:
    """What an example archive holds."""
    pack, machine, recorded = MADE[name]
    return pack(machine, readings_of(recorded)[recorded])


def main() -> None:
    """Write every archive."""
    ARCHIVES.mkdir(exist_ok=True)
    for name in MADE:
        (ARCHIVES / name).write_bytes(lzma.compress(tar_of(files_of(name)), preset=6))


if __name__ == "__main__":
    main()
