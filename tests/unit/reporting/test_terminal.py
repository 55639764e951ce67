"""The summary on the terminal: wrapped between words where there is a terminal, and only there."""

from dataclasses import replace

from nested_kvm.reporting.terminal import write_summary
from nested_kvm.results.run import Result, Threshold
from tests.support.made_runs import FAIL, run_of

LONG = replace(
    FAIL,
    message="the next load of kvm_amd is given nested=0 by /etc/modprobe.d/a-long-name-of-a-file.conf:12 and is off "
    * 2,
    remediation=("sed -i 's/nested=0/nested=1/' /etc/modprobe.d/a-long-name-of-a-file.conf && modprobe -r kvm_amd",),
)


def summary(*results: Result, width: int | None = None) -> list[str]:
    lines: list[str] = []
    run = run_of(*results, status=1)
    write_summary(run, lambda line, **_markup: lines.append(line), threshold=Threshold(), report="r.html", width=width)
    return lines


def test_prose_is_wrapped_between_words_on_a_terminal() -> None:
    lines = summary(LONG, width=80)
    prose = [line for line in lines if not line.lstrip().startswith("$")]
    assert max(map(len, prose)) <= 80
    assert " ".join(" ".join(lines).split()).count("/etc/modprobe.d/a-long-name-of-a-file.conf:12") == 2
    first = next(number for number, line in enumerate(lines) if line.startswith("  the next load"))
    assert lines[first + 1].startswith("      ")


def test_a_command_stays_whole_so_that_it_can_be_copied() -> None:
    assert f"    $ {LONG.remediation[0]}" in summary(LONG, width=80)


def test_nothing_is_wrapped_where_there_is_no_terminal() -> None:
    assert f"  {LONG.message.strip()}" in summary(LONG)
