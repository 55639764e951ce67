"""The probe: one POSIX `sh` script, written in parts and sent as one.

`python -m nested_kvm.evidence.probe` prints it, for other tools that run a script on a fleet.
"""

import re
import string
from functools import cache
from importlib.resources import files
from typing import Final

_LAST_BRANCH: Final = re.compile(r"(?<=[^) ]) ;;(?:(\n)| )esac")
"""The end of a case's last branch, which needs no `;;`."""
_NAME: Final = re.compile(r"^ *([a-z]+(?:_[a-z]+)+|newline)(?:\(\)|=)", re.MULTILINE)
"""A function or variable whose name has several words: no path, option or command of the script contains one."""
PARTS: Final = ("1-frames.sh", "2-machine.sh", "3-guests.sh", "4-host.sh", "5-main.sh")


def readable_probe() -> str:
    """The whole script, as people read it; its head documents its arguments."""
    return "".join(files(__name__).joinpath(part).read_text(encoding="utf-8") for part in PARTS)


@cache
def probe_script() -> str:
    """The same script as it is sent, so that it fits into TCP's first window.

    It has no comment lines and no indentation, and long names of functions and variables are short.

    No line of the parts begins inside quotes or in a here-document, so leading blanks never matter.
    """
    lines = (line.lstrip(" ") for line in readable_probe().splitlines())
    script = "".join(f"{line}\n" for line in lines if line and not line.startswith("#")).replace(" \\\n", " ")
    return short_names(_LAST_BRANCH.sub(lambda end: "\nesac" if end[1] else "; esac", script))


def short_names(script: str) -> str:
    """Return the script with short names in place of those that have several words."""
    names = sorted(set(_NAME.findall(script)))
    for letter, name in zip(string.ascii_letters, names, strict=False):
        script = re.sub(rf"\b{name}\b", f"_{letter}", script)
    return script
