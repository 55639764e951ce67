"""The probe: one POSIX `sh` script, written in parts and sent as one.

`python -m nested_kvm.evidence.probe` prints it, for whatever else can run a script on a fleet.
"""

from importlib.resources import files
from typing import Final

PARTS: Final = ("1-frames.sh", "2-machine.sh", "3-guests.sh", "4-host.sh", "5-main.sh")


def probe_script() -> str:
    """The whole script; its head says what it takes."""
    return "".join(files(__name__).joinpath(part).read_text(encoding="utf-8") for part in PARTS)
