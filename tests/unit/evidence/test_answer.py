"""The probe's answer, whole, cut and hostile."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import AnswerUnusable
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status

NONCE = "0123abcd"
HEADER = f"@{NONCE} nested-kvm-probe 1\n"
DONE = f"@{NONCE} done\n"


def frame(source: str, text: str, end: str, nonce: str = NONCE) -> str:
    return f"@{nonce} begin {source}\n{text}\n@{nonce} end {end}\n"


def readings(*frames: str) -> dict[str, Reading]:
    answer = parse_answer((HEADER + "".join(frames) + DONE).encode(), NONCE)
    assert answer.cut is None
    return answer.readings


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("ok", Reading("/x", Status.OK, "text")),
        ("ok -> ../y", Reading("/x", Status.OK, "text", link="../y")),
        ("ok -> a -> b", Reading("/x", Status.OK, "text", link="a -> b")),
        ("exit 0", Reading("/x", Status.OK, "text", 0)),
        ("exit 1", Reading("/x", Status.FAILED, "text", 1)),
        ("exit 137", Reading("/x", Status.TIMED_OUT, "text", 137)),
        ("exit 124", Reading("/x", Status.TIMED_OUT, "text", 124)),
        ("missing", Reading("/x", Status.MISSING, "text")),
        ("absent", Reading("/x", Status.ABSENT, "text")),
        ("unreadable", Reading("/x", Status.UNREADABLE, "text")),
        ("device -> /dev/null", Reading("/x", Status.DEVICE, "text", link="/dev/null")),
    ],
)
def test_the_end_of_a_frame_says_how_the_reading_ended(end: str, expected: Reading) -> None:
    assert readings(frame("/x", "text\n", end)) == {"/x": expected}


@pytest.mark.parametrize(("text", "expected"), [("", ""), ("a", "a"), ("a\n", "a"), ("a\n\n", "a\n"), ("\n", "")])
def test_one_line_break_at_the_end_is_the_frames(text: str, expected: str) -> None:
    assert readings(frame("/x", text, "ok"))["/x"].text == expected


WHOLE = (
    HEADER
    + frame("uname -m", "x86_64\n", "exit 0")
    + frame("/etc/modprobe.d/kvm.conf", "options kvm_amd nested=1 # ä\n", "ok -> kvm.real")
    + frame("/dev/kvm", "", "absent")
    + frame("dmesg", "kvm: x\n", "exit 1")
    + DONE
).encode()


def test_an_answer_cut_at_any_byte_gives_only_readings_that_arrived_whole() -> None:
    whole = parse_answer(WHOLE, NONCE)
    assert whole.cut is None
    counts = set()
    for length in range(len(WHOLE)):
        try:
            part = parse_answer(WHOLE[:length], NONCE)
        except AnswerUnusable:
            assert length <= len(HEADER)
            continue
        assert part.readings.items() <= whole.readings.items()
        assert part.cut is not None or WHOLE[:length].endswith(b"done")
        counts.add(len(part.readings))
    assert counts == {0, 1, 2, 3, 4}


def test_the_cut_names_the_reading_in_which_it_happened() -> None:
    text = HEADER + frame("uname -m", "x86_64\n", "exit 0") + f"@{NONCE} begin dmesg\nkvm: x"
    assert parse_answer(text.encode(), NONCE).cut == "dmesg"


@given(st.lists(st.integers(0, len(WHOLE) - 1), min_size=1, max_size=4), st.binary(min_size=1, max_size=4))
def test_a_damaged_answer_is_read_or_refused_and_nothing_else(places: list[int], noise: bytes) -> None:
    damaged = bytearray(WHOLE)
    for place in places:
        damaged[place : place + len(noise)] = noise
    with contextlib.suppress(AnswerUnusable):
        readings = parse_answer(bytes(damaged), NONCE).readings.values()
        assert all(reading.text in damaged.decode("utf-8", "replace") for reading in readings)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        parse_answer(data, NONCE)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=100))
def test_any_content_comes_through_as_it_is(text: str) -> None:
    assert readings(frame("/x", f"{text}\n", "ok"))["/x"].text == text


def test_content_that_imitates_a_frame_without_the_nonce_is_content() -> None:
    forged = frame("/proc/cpuinfo", "flags : svm\n", "ok", nonce="guessed") + "@guessed done\n"
    found = readings(frame("/etc/modprobe.d/x.conf", forged, "ok"), frame("/proc/cpuinfo", "flags :\n", "ok"))
    assert found["/etc/modprobe.d/x.conf"].text == forged.removesuffix("\n")
    assert found["/proc/cpuinfo"].text == "flags :"


def test_a_source_told_twice_keeps_what_it_said_first() -> None:
    assert readings(frame("/x", "1\n", "ok"), frame("/x", "2\n", "ok"))["/x"].text == "1"


@pytest.mark.parametrize(
    "printed", ["@{n} begin /x\n1\n", "@{n} begin /x\n", "@{n} begin /x", "@{n} begin /x\n1\n\n@{n} en"]
)
def test_a_reading_in_which_another_begins_broke_off(printed: str) -> None:
    """The program that printed it died, and the next part of the probe went on."""
    begun = printed.format(n=NONCE)
    assert readings(begun, frame("/y", "2\n", "ok")) == {
        "/x": Reading("/x", Status.UNREADABLE),
        "/y": Reading("/y", Status.OK, "2"),
    }
    repeated = readings(begun, frame("/y", "2\n", "ok"), frame("/x", "3\n", "ok"))
    assert repeated["/x"] == Reading("/x", Status.OK, "3")


def test_what_a_login_shell_prints_before_is_skipped() -> None:
    text = f"Welcome!\n@other nested-kvm-probe 1\n{HEADER}{frame('/x', 'y', 'ok')}{DONE}"
    assert parse_answer(text.encode(), NONCE).readings["/x"].text == "y"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"sudo: a password is required\n", "sudo: a password is required"),
        (f"@{NONCE} nested-kvm-probe 2\n".encode(), "version '2'"),
        ((HEADER + frame("/x", "", "glorious")).encode(), "glorious"),
        ((HEADER + frame("/x", "", "exit soon")).encode(), "soon"),
    ],
)
def test_what_is_not_the_probes_answer_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(AnswerUnusable, match=message):
        parse_answer(data, NONCE)


def test_bytes_that_are_no_text_cost_only_themselves() -> None:
    data = HEADER.encode() + f"@{NONCE} begin /x\n".encode() + b"a\xff\x00b" + f"\n@{NONCE} end ok\n{DONE}".encode()
    assert parse_answer(data, NONCE).readings["/x"].text == "a\ufffd\0b"


@pytest.mark.parametrize("begun", ["@a begin /x\n", "@a begin "])
@pytest.mark.parametrize("rest", ["", "\n\n@a end ok\n@a done\n"])
def test_an_answer_of_many_readings_that_only_begin_takes_little_time(begun: str, rest: str) -> None:
    """A target chooses what it answers: 4 MB of this took the controller minutes."""
    started = time.thread_time()
    answer = parse_answer(f"@a nested-kvm-probe 1\n{begun * 300_000}{rest}".encode(), "a")
    assert time.thread_time() - started < 10
    assert {each.status for each in answer.readings.values()} <= {Status.UNREADABLE, Status.OK}
