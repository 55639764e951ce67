"""pytest as a user starts it, in its own process, but without the time that a start takes.

One process imports pytest and the audit, and reads the audit's own templates and advisories. A copy of it (fork)
becomes each run: everything that a run itself does or leaves is in the copy. It differs from a run that a shell starts
in what was imported and read before; tests of that start one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from select import select
from signal import SIGKILL
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from threading import Lock

PROGRAM = """\
import gc, importlib, json, os, pkgutil, runpy, sys

import pytest

pytest.main(["--markers", *sys.argv[1:]])
nested_kvm = importlib.import_module("nested_kvm")
for module in pkgutil.walk_packages(nested_kvm.__path__, "nested_kvm."):
    if module.name.split(".")[1] not in {"__main__", "command", "plugin"}:  # what pytest imports itself, or no audit
        importlib.import_module(module.name)
nested_kvm.facts.advisories.advisory_file.packaged_advisories()
templates = nested_kvm.reporting.html.opening._environment()
for name in templates.list_templates():
    templates.get_template(name)
gc.freeze()
answers = os.dup(1)
print("ready", flush=True)
for line in sys.stdin:
    wanted = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    answer = json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.write(answers, answer.encode() + b"\\n")
else:
    sys.exit()
os.close(answers)
for number, path in enumerate((os.devnull, wanted["out"], wanted["err"])):
    opened = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
    os.dup2(opened, number)
    os.close(opened)
os.environ.clear()
os.environ.update(wanted["env"])
os.chdir(wanted["cwd"])
sys.path[0] = wanted["cwd"]
sys.argv = ["pytest", *wanted["words"]]
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""
OPTIONS = ("-p", "no:hypothesispytest")
"""Without the plugin that only these tests have, which takes a fifth of a second to start."""


SECONDS = 300
"""After which a run is taken to hang, also on a machine that is busy with much else."""


class _Original:
    """The process that is copied. It ends with this one, which it reads as the end of its input."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *OPTIONS],
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        while self._line() != b"ready\n":
            pass

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> CompletedProcess[str]:
        """Run pytest with these words and wait for its end.

        Raises:
            TimeoutExpired: It took too long, and was killed.
        """
        with self._one_at_a_time, TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            out.touch()
            err.touch()
            wanted = {"words": [*OPTIONS, *words], "cwd": str(cwd), "env": dict(env), "out": str(out), "err": str(err)}
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
            status = json.loads(self._line())
            return CompletedProcess([*words], status, out.read_text(), err.read_text())

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        if not select([self._process.stdout], [], [], SECONDS)[0]:
            os.killpg(self._process.pid, SIGKILL)
            _original.cache_clear()
            raise TimeoutExpired("pytest", SECONDS)
        line = self._process.stdout.readline()
        assert line, "the process that is copied for each run has ended"
        return line


@cache
def _original() -> _Original:
    return _Original()


def started_pytest(*words: object, cwd: Path, env: Mapping[str, str]) -> CompletedProcess[str]:
    """Run pytest and wait for its end; with no input, and its output in files.

    Raises:
        TimeoutExpired: It took too long, and was killed.
    """
    return _original().run([str(word) for word in words], cwd, env)
