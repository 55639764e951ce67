"""When the silence of the emulated host means that it hangs, and when only that this machine is busy."""

from pathlib import Path

import pytest

from lab.heartbeat import BEATS, LIMIT, MAX_SLOWDOWN, Sample, Watch, is_hung, observe, slowdown

SECOND = 1_000_000_000


def sample(at: float, *, beats: int = 100, ran: float = 0.0, waited: float = 0.0) -> Sample:
    return Sample(beats=beats, at=at, ran=ran, waited=waited)


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        pytest.param(sample(19, ran=18), False, id="not yet"),
        pytest.param(sample(21, ran=20.5, waited=0.2), True, id="loops on an idle machine"),
        pytest.param(sample(21, ran=0.01), True, id="sleeps on an idle machine"),
        pytest.param(sample(60, ran=5, waited=55), False, id="gets a twelfth of a busy machine"),
        pytest.param(sample(60, ran=5, waited=110), False, id="two threads wait for a CPU at the same time"),
        pytest.param(sample(100, ran=20.5, waited=79.5), True, id="loops on a busy machine"),
        pytest.param(sample(600, ran=0, waited=600), False, id="gets no CPU at all"),
    ],
)
def test_silence_counts_only_while_the_emulator_could_have_run(silence: Sample, *, expected: bool) -> None:
    assert is_hung(sample(0), silence) is expected


def test_the_first_beat_may_take_three_times_as_long() -> None:
    assert not is_hung(sample(0, beats=0), sample(50, beats=0, ran=45))
    assert is_hung(sample(0, beats=0), sample(61, beats=0, ran=60))


def test_each_beat_begins_a_new_silence() -> None:
    watch = Watch()
    for second in range(0, 200, 5):
        assert not watch.hung_cpus({0: sample(second, beats=second // 15 + 1, ran=second)})


def test_a_pause_between_two_checks_is_not_a_silence() -> None:
    watch = Watch()
    assert not watch.hung_cpus({0: sample(0, beats=1)})
    assert not watch.hung_cpus({0: sample(500, beats=200, ran=400)})
    assert not watch.hung_cpus({0: sample(510, beats=200, ran=410)})
    assert watch.hung_cpus({0: sample(521, beats=200, ran=421)}) == [0]


def test_one_cpu_may_hang_while_the_other_beats() -> None:
    watch = Watch()
    found = [
        watch.hung_cpus({0: sample(second, beats=second + 1, ran=second), 1: sample(second, ran=second)})
        for second in range(int(LIMIT) + 1)
    ]
    assert found == [[]] * int(LIMIT) + [[1]]


@pytest.mark.parametrize(
    ("samples", "factor"),
    [
        ({}, 1),
        ({0: sample(5, ran=0, waited=3)}, 1),
        ({0: sample(60, ran=20), 1: sample(60, ran=10)}, 1),
        ({0: sample(60, ran=20, waited=90), 1: sample(60, ran=10, waited=90)}, 4),
        ({0: sample(600, ran=1, waited=599)}, MAX_SLOWDOWN),
    ],
)
def test_time_limits_grow_with_the_time_that_the_emulator_waits(samples: dict[int, Sample], factor: float) -> None:
    assert slowdown(samples) == factor


def thread(proc: Path, number: int, name: str, *, ran: float, waited: float) -> None:
    task = proc / "7" / "task" / str(number)
    task.mkdir(parents=True)
    (task / "comm").write_text(f"{name}\n")
    (task / "schedstat").write_text(f"{int(ran * SECOND)} {int(waited * SECOND)} 12\n")


def test_cpus_are_the_emulators_threads_and_its_lasting_threads_may_be_kept_waiting(tmp_path: Path) -> None:
    thread(tmp_path, 7, "qemu-system-x86", ran=1, waited=2)
    thread(tmp_path, 10, "CPU 0/TCG", ran=30, waited=4)
    thread(tmp_path, 11, "CPU 1/TCG", ran=40, waited=8)
    thread(tmp_path, 12, "worker", ran=1, waited=16)
    (tmp_path / BEATS).write_text("0\r\n1\r\n0\r\n0\r\n")
    seen = observe(tmp_path, 7, proc=tmp_path)
    assert {cpu: (found.beats, found.ran, found.waited) for cpu, found in seen.items()} == {
        0: (3, 30.0, 14.0),
        1: (1, 40.0, 14.0),
    }


def test_an_emulator_that_has_ended_has_no_cpus(tmp_path: Path) -> None:
    assert observe(tmp_path, 7, proc=tmp_path) == {}
