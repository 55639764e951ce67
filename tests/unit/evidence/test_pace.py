"""How many targets are observed at once, where the number is found and not given."""

from nested_kvm.evidence.pace import START, Pace


def after(pace: Pace, successes: int) -> int:
    for _ in range(successes):
        pace.after_one()
    return pace.limit


def test_a_given_number_stays() -> None:
    pace = Pace(8)
    pace.refused()
    assert after(pace, 100) == 8
    assert not pace.is_automatic


def test_each_success_adds_one_up_to_the_limit() -> None:
    pace = Pace.automatic(50)
    assert (pace.limit, pace.most, pace.reason) == (START, 50, "targets")
    assert after(pace, 10) == START + 10
    assert after(pace, 100) == 50


def test_a_refusal_halves_it_once_for_all_that_were_under_way_and_ends_its_growth() -> None:
    pace = Pace(32, most=256)
    for _ in range(5):
        pace.refused()
        pace.after_one()
    assert pace.limit == 16
    assert after(pace, 100) == 16
    pace.refused()
    assert after(pace, 1) == 8


def test_it_never_ends() -> None:
    pace = Pace(1, most=4)
    for _ in range(50):
        pace.refused()
        pace.after_one()
    assert pace.limit == 1


def test_a_few_targets_need_no_more() -> None:
    assert Pace.automatic(3).limit == 3
    assert Pace.automatic(0).limit == 1


def test_what_was_found_is_said() -> None:
    pace = Pace(32, most=256, reason="memory")
    assert pace.announcement() == "--forks=auto: from 32 to 256 at once (limit: memory)"
    pace.reached(40)
    pace.reached(12)
    pace.refused()
    assert pace.result() == "--forks=auto: at most 40 at once; sshd closed 1 connection early (MaxStartups?)"
