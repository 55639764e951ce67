"""The names that checks and programs import: each is imported when it is first used."""

import subprocess
import sys

import pytest

import nested_kvm


@pytest.mark.parametrize("name", nested_kvm.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nested_kvm, name) is not None
    assert name in dir(nested_kvm)


def test_there_is_no_other() -> None:
    assert set(nested_kvm._MODULES) == set(nested_kvm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nested_kvm.nothing  # type: ignore[attr-defined]  # noqa: B018 - what is tested


def test_the_package_alone_imports_nothing_of_its_own() -> None:
    program = "import sys, nested_kvm; print([name for name in sys.modules if name.startswith('nested_kvm.')])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
