import time

import pytest

from nested_kvm.facts.kernel.parameter import (
    ParameterType,
    Setting,
    parameter_types,
    read_parameter,
    value_setting,
    words,
)
from nested_kvm.facts.kernel.release import KernelRelease

ON, OFF, INVALID, UNDECIDED = Setting.ON, Setting.OFF, Setting.INVALID, Setting.UNDECIDED
DEBIAN_12 = KernelRelease.parse("6.1.0-56-cloud-amd64")

CPU_SECONDS = 20
"""Far above what linear time takes, and far below what quadratic time would."""


@pytest.mark.parametrize(
    ("options", "as_int", "as_bool"),
    [
        ("", None, None),
        ("npt=1", None, None),
        ("nested=1", ON, ON),
        ("nested=0", OFF, OFF),
        ("nested=y", INVALID, ON),
        ("nested=Y", INVALID, ON),
        ("nested=N", INVALID, OFF),
        ("nested=on", INVALID, ON),
        ("nested=OFF", INVALID, OFF),
        ("nested=o", INVALID, INVALID),
        ("nested=true", INVALID, ON),
        ("nested", INVALID, ON),
        ("nested=", INVALID, INVALID),
        ("nested='1'", INVALID, INVALID),
        ('nested="1"', ON, ON),
        ('"nested=1"', ON, ON),
        ('nested="1', ON, ON),
        ('"nested"', INVALID, ON),
        ("nested=10", ON, ON),
        ("nested=2", ON, INVALID),
        ("nested=-1", ON, INVALID),
        ("nested=+1", ON, INVALID),
        ("nested=-0", OFF, INVALID),
        ("nested=+-1", INVALID, INVALID),
        ("nested=0x1", ON, OFF),
        ("nested=0X0", OFF, OFF),
        ("nested=0x", INVALID, OFF),
        ("nested=010", ON, OFF),
        ("nested=08", INVALID, OFF),
        ("nested=2147483647", ON, INVALID),
        ("nested=2147483648", INVALID, INVALID),
        ("nested=-2147483648", ON, INVALID),
        ("nested=00000000000000000000000001", ON, OFF),
        ("nested=1#off", INVALID, ON),
        ("nested=1,0", INVALID, ON),
        ("nested = 1", INVALID, ON),
        ("nested=1\r", ON, ON),
        ("nested=1 # for the CI guests", ON, ON),
        ("nested=1 nested=0", OFF, OFF),
        ("nested=0 npt=1 nested=1", ON, ON),
        ("nested=y nested=1", INVALID, ON),
        ("nested=1 nested='1' nested=1", INVALID, INVALID),
        ("NESTED=0", None, None),
        ("npt=1 -- nested=0", None, None),
        ("nested=1\N{NO-BREAK SPACE}", INVALID, ON),
        ("nested=1 à=2 nested=0", OFF, OFF),
        ('dyndbg="file svm.c +p nested=0" nested=1', ON, ON),
    ],
)
def test_the_kernel_reads_a_string(options: str, as_int: Setting | None, as_bool: Setting | None) -> None:
    assert read_parameter(options, "nested", ParameterType.INT, DEBIAN_12).setting is as_int
    assert read_parameter(options, "nested", ParameterType.BOOL, DEBIAN_12).setting is as_bool


@pytest.mark.parametrize(
    ("value", "release", "setting"),
    [
        ("t", "", UNDECIDED),
        ("t", "5.10.0", INVALID),
        ("t", "5.19.0", ON),
        ("False", "6.1.0", OFF),
        ("true", "5.14.0-503.el9.x86_64", UNDECIDED),
        ("on", "3.16.0", INVALID),
        ("on", "", UNDECIDED),
        ("enable", "6.1.0", INVALID),
        ("enable", "6.12.117", INVALID),
        ("disable", "6.14.0", UNDECIDED),
        ("enable", "6.12.0-211.el10.x86_64", UNDECIDED),
        ("enable", "6.16.3", ON),
        ("disabled", "7.0.0", OFF),
        ("x", "7.0.0", INVALID),
    ],
)
def test_newer_kernels_take_more_words_for_a_bool(value: str, release: str, setting: Setting) -> None:
    assert value_setting(value, ParameterType.BOOL, KernelRelease.parse(release)) is setting


@pytest.mark.parametrize(("value", "setting"), [("1", ON), ("0", OFF), ("y", UNDECIDED), ("'1'", INVALID)])
def test_without_a_type_only_what_all_types_agree_on_is_decided(value: str, setting: Setting) -> None:
    assert value_setting(value, None, DEBIAN_12) is setting


def test_a_byte_that_was_replaced_may_be_white_space_to_the_kernel() -> None:
    reading = read_parameter("nested=1\N{REPLACEMENT CHARACTER}", "nested", ParameterType.INT)
    assert reading.setting is UNDECIDED


def test_names_are_the_same_with_dashes_and_underscores() -> None:
    reading = read_parameter("kvm-amd.nested=0", "kvm_amd.nested", ParameterType.INT)
    assert reading.setting is OFF


def test_a_word_knows_where_it_stands_in_bytes() -> None:
    options = "é=1  nested=0"
    assert [(word.name, word.value, word.offset) for word in words(options)] == [("é", "1", 0), ("nested", "0", 6)]


def test_the_types_are_read_from_modinfo() -> None:
    text = "npt: (bool)\nnested: (int)\nept:Use extended page tables (default on) (bool)\nplain:\nmore of it\n"
    assert parameter_types(text) == {"npt": "bool", "nested": "int", "ept": "bool", "plain": ""}


@pytest.mark.parametrize("end", ["avic", "avic:", "avic: (bo"])
def test_a_last_line_that_was_cut_off_has_no_type(end: str) -> None:
    assert parameter_types(f"nested: (int)\n{end}") == {"nested": "int", "avic": ""}


@pytest.mark.parametrize("text", ['"' * 1_000_000, "a=" * 500_000, "nested=" + "9" * 1_000_000, "\\" * 1_000_000])
def test_hostile_strings_take_no_time(text: str) -> None:
    start = time.process_time()
    read_parameter(text, "nested", ParameterType.INT)
    assert time.process_time() - start < CPU_SECONDS
