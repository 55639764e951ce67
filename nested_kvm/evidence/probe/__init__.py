"""The probe: one POSIX `sh` script, written in parts and sent as one.

`nested-kvm probe`, or `python -m nested_kvm.evidence.probe`, prints it, for other tools that run a script on a fleet.
"""

import re
import shlex
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

_LAST_BRANCH: Final = re.compile(r"(?<=[^) ]) ?;;(?:(\n)| ?)esac")
"""The end of a case's last branch, which needs no `;;`."""
_BODY: Final = re.compile(r"^(\w+\(\)) \{", re.MULTILINE)
"""Where a function's body begins."""
_NAME: Final = re.compile(r"^ *([a-z]+(?:_[a-z]+)+|newline)(?:\(\)|=)", re.MULTILINE)
"""A function or variable whose name has several words: no path, option or command of the script contains one."""
_VARIABLES: Final = (
    *(
        "again",
        "answer",
        "blank",
        "chosen",
        "emulator",
        "entered",
        "entry",
        "folder",
        "held",
        "line",
        "lines",
        "listed",
    ),
    *(
        "memory",
        "module",
        "option",
        "parent",
        "path",
        "pattern",
        "printed",
        "said",
        "seconds",
        "size",
        "state",
        "status",
        "text",
    ),
    *("unended", "uuid", "uuids", "value", "vendor", "wanted", "words"),
)
"""Variables whose names are also words of paths, options or commands. No text of the script has one before a `=`."""
_QUOTED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")
_OPERATOR: Final = re.compile(r" ?(\|\|?|&&|;) ?|(?<=[\w*?\"'\])])(\)) (?=[a-z\[])")
"""Where a blank separates nothing: around an operator, and behind the pattern of a case's branch."""
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
    """The same script as it is sent, so that it fits into TCP's first window.

    It has no comments and no needless blanks, long names of functions and variables are short, and what is thrown away
    goes to one descriptor, which takes fewer letters.

    No line of the parts begins inside quotes or in a here-document, so leading blanks never matter.
    """
    lines = (_tight(line.lstrip(" ")) for line in readable_probe().splitlines())
    script = "".join(f"{line}\n" for line in lines if line and not line.startswith("#")).replace(" \\\n", " ")
    script = _BODY.sub(r"\1{", script)
    script = _LAST_BRANCH.sub(lambda end: "\nesac" if end[1] else ";esac", script)
    return "exec 3>/dev/null\n" + short_names(script).replace("2>/dev/null", "2>&3")


def short_names(script: str) -> str:
    """Return the script with short names in place of those that have several words, and of variables."""
    letters = string.ascii_letters + string.digits
    short = [*letters, *(f"{first}{second}" for first in letters for second in letters)]
    pattern, names = _names()
    new = {name: f"_{letter}" for letter, name in zip(short, names, strict=False)}
    return pattern.sub(lambda found: new[found[0]], script)


@cache
def _names() -> tuple[re.Pattern[str], Sequence[str]]:
    """What finds the names that are replaced, and the names, the most frequent first."""
    code = "".join(line for line in readable_probe().splitlines(keepends=True) if not line.lstrip(" ").startswith("#"))
    long = sorted(set(_NAME.findall(code)))
    pattern = re.compile(rf"\b(?:{'|'.join(long)})\b|{_as_variable('|'.join(_VARIABLES))}")
    uses = Counter(found[0] for found in pattern.finditer(code))
    return pattern, sorted([*long, *_VARIABLES], key=lambda name: -uses[name])


def _as_variable(names: str) -> str:
    """The pattern of these words where they are variables: used, read, set, or looped over."""
    behind = r"(?<=\$)|(?<=\$\{)|(?<=read -r )"
    return rf"(?:{behind})(?:{names})\b|(?<![\w$/'.<-])(?:{names})(?==)|(?<=for )(?:{names})(?= (?:do|in)\b)"


def _tight(line: str) -> str:
    """The line without the blanks that separate nothing; one whose quotes hold others is left as it is."""
    if '"$(' in line or "\\" in line or line.count("'") % 2 or line.count('"') % 2:
        return line
    kept, end = [], 0
    for quoted in _QUOTED.finditer(line):
        kept += [_unspaced(line[end : quoted.start()]), quoted[0]]
        end = quoted.end()
    return "".join([*kept, _unspaced(line[end:])])


def _unspaced(text: str) -> str:
    return _OPERATOR.sub(lambda found: found[1] or found[2], text)
