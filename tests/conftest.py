"""What all tests of the suite share."""

import os
import shutil

import pytest

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PROGRAMS = {"kmod": ("kmod", "depmod", "busybox", "chroot")}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose part the machine lacks; in CI that is an error."""
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            missing = [name for name in _PROGRAMS.get(part, (part,)) if not shutil.which(name, path=_PATH)]
            if missing and os.environ.get("CI") == "true":
                pytest.fail(f"not installed: {', '.join(missing)}", pytrace=False)
            if missing:
                pytest.skip(f"not installed: {', '.join(missing)}")
