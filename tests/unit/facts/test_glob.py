import pytest

from nested_kvm.facts.modprobe.fnmatch import matches


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("kvm_amd", True),
        ("kvm_am", False),
        ("kvm_amdx", False),
        ("*", True),
        ("kvm*", True),
        ("*amd", True),
        ("*_*d", True),
        ("k?m_amd", True),
        ("?kvm_amd", False),
        ("kvm[_-]amd", True),
        ("kvm[!_]amd", False),
        ("kvm[^x]amd", True),
        ("kvm_[a-c]md", True),
        ("kvm_[b-z]md", False),
        ("[[:alpha:]]vm_amd", True),
        ("[[:digit:]]vm_amd", False),
        ("[]k]vm_amd", True),
        ("kvm\\_amd", True),
        ("kvm_amd\\", False),
        ("", False),
    ],
)
def test_patterns(pattern: str, *, is_match: bool) -> None:
    assert matches(pattern, "kvm_amd") is is_match


def test_many_stars_take_no_time() -> None:
    assert not matches("*a" * 500 + "x", "a" * 500)
