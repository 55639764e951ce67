"""The probe: one POSIX `sh` script, written in parts and sent as one.

`nested-kvm probe`, or `python -m nested_kvm.evidence.probe`, prints it, for other tools that run a script on a fleet.
"""

import re
import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

_LAST_BRANCH: Final = re.compile(r"(?<=[^) ]) ;;(?:(\n)| )esac")
"""The end of a case's last branch, which needs no `;;`."""
PARTS: Final = ("1-frames.sh", "2-machine.sh", "3-guests.sh", "4-host.sh", "5-main.sh")


def readable_probe() -> str:
    """The whole script, as people read it; its head documents its arguments."""
    return "".join(files(__name__).joinpath(part).read_text(encoding="utf-8") for part in PARTS)


def probe_with(arguments: Sequence[str]) -> str:
    """The whole script with its arguments set in it, for engines that can pass none."""
    head = f"set -- {shlex.join(arguments)}\n" if arguments else ""
    return head + readable_probe()


@cache
def probe_script() -> str:
    """The same script as it is sent: without comment lines and indentation, so that it fits into TCP's first window.

    No line of the parts begins inside quotes or in a here-document, so leading blanks never matter.
    """
    lines = (line.lstrip(" ") for line in readable_probe().splitlines())
    script = "".join(f"{line}\n" for line in lines if line and not line.startswith("#")).replace(" \\\n", " ")
    return _LAST_BRANCH.sub(lambda end: "\nesac" if end[1] else "; esac", script)
