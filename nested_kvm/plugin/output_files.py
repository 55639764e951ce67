"""The files beside the run's own reports that pytest's options name: checked before anything is inspected."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.reporting.output import WhenLost, forgiving


def check_output_files(config: pytest.Config) -> None:
    """Check that each file that pytest and its plugins are to write can be written, and what they read is there.

    Raises:
        UsageError: one cannot; the message names its option.
    """
    for option, path in _written(config):
        try:
            _try_to_write(path)
        except OSError as error:
            raise UsageError(f"{option}: {path}: {error.strerror}") from None
    for path in map(Path, getattr(config.option, "css", None) or ()):
        if not path.is_file():
            raise UsageError(f"--css: {path}: is not a file")


def forgiving_log_file(config: pytest.Config, when_lost: WhenLost) -> None:
    """Let the run go on where its log file cannot be written; pytest would end without a report."""
    logging = config.pluginmanager.getplugin("logging-plugin")
    if logging is not None:
        logging.log_file_handler.stream = forgiving(logging.log_file_handler.stream, when_lost)


def _written(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    option = config.option
    by_name = {
        "--html": option.htmlpath,
        "--junitxml": option.xmlpath,
        "--log-file": getattr(option, "log_file", None) or _log_file_of_ini(config),
    }
    yield from ((name, Path(os.path.expandvars(path)).expanduser()) for name, path in by_name.items() if path)


def _log_file_of_ini(config: pytest.Config) -> str | None:
    return config.getini("log_file") if config.pluginmanager.hasplugin("logging") else None


def _try_to_write(path: Path) -> None:
    """Open a file as its plugin will, and write nothing to it: a full device refuses that as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    if not is_new and stat.S_ISFIFO(path.stat().st_mode):
        return  # Opening it could wait for its reader for ever.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, b"")
    finally:
        os.close(file)
        if is_new:
            path.unlink()
