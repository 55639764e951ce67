"""What /etc/default/grub gives the kernel is what the shell makes of it, or is not known."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nested_kvm.facts.boot import grub_defaults as module
from nested_kvm.facts.boot.grub_defaults import GrubDefaults, grub_defaults
from tests.support.bundles import ok
from tests.support.needs import program

GRUB = "/etc/default/grub"
BOTH = 'printf "<%s|%s>" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'


def read(*texts: str) -> GrubDefaults:
    return grub_defaults(ok(f"{GRUB}.{number}", text) for number, text in enumerate(texts))


def given_by(*texts: str) -> str:
    return " ".join(text for _, text in read(*texts).parts)


def told_by_the_shell(folder: Path, text: str) -> str | None:
    """What a shell that reads the file has for both variables; None: it could not read it."""
    file = folder / "grub"
    file.write_bytes(text.encode())
    shell = program("sh") or ""
    done = subprocess.run(
        [shell, "-c", f'. "$1"; {BOTH}', "sh", str(file)], capture_output=True, check=False, cwd=folder
    )
    answer = done.stdout.decode()
    return " ".join(answer[1:-1].split("|")) if done.returncode == 0 and answer.endswith(">") else None


@pytest.mark.parametrize(
    ("texts", "cmdline"),
    [
        (['GRUB_CMDLINE_LINUX="quiet"'], "quiet"),
        (["GRUB_CMDLINE_LINUX='a b' # c"], "a b"),
        (['GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="b"'], "b"),
        (['GRUB_CMDLINE_LINUX="a"', 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"'], "a b"),
        (['GRUB_CMDLINE_LINUX_DEFAULT="b"\nGRUB_CMDLINE_LINUX="${GRUB_CMDLINE_LINUX_DEFAULT}x"'], "bx b"),
        (['GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX+=" b"'], "a b"),
        (['GRUB_CMDLINE_LINUX="a\\"b\\$c"'], 'a"b$c'),
        (["GRUB_CMDLINE_LINUX=kvm_amd.nested=0 quiet"], ""),
        (["export GRUB_CMDLINE_LINUX=kvm_amd.nested=0 GRUB_TIMEOUT"], "kvm_amd.nested=0"),
        (["export GRUB_CMDLINE_LINUX='a b' GRUB_TIMEOUT=5 # c"], "a b"),
        (["# GRUB_CMDLINE_LINUX=a\n\nGRUB_CMDLINE_XEN=b"], ""),
        (["export GRUB_CMDLINE_LINUX=a;"], "a"),
        (["GRUB_CMDLINE_LINUX=a; GRUB_TIMEOUT=5"], "a"),
    ],
)
def test_the_files_are_evaluated_in_order(texts: list[str], cmdline: str) -> None:
    assert (given_by(*texts), read(*texts).unknown) == (cmdline, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('GRUB_CMDLINE_LINUX="$EXTRA"', "$EXTRA"),
        ('GRUB_CMDLINE_LINUX="${EXTRA} a"', "$EXTRA"),
        ('GRUB_CMDLINE_LINUX="$(cat /etc/extra)"', "$(cat"),
        ('GRUB_CMDLINE_LINUX="`cat /etc/extra`"', "`cat"),
        ("GRUB_CMDLINE_LINUX=${EXTRA:-a}", "${EXTRA"),
        (". /etc/default/grub-extra", "is a script"),
        ("source /etc/default/grub-extra", "is a script"),
        ("if [ -f /x ]; then", "is a script"),
        ('X=1; GRUB_CMDLINE_LINUX="a"', "is a script"),
        ('[ -f /x ] && GRUB_CMDLINE_LINUX="a"', "is a script"),
        ('GRUB_CMDLINE_LINUX="a"; GRUB_CMDLINE_LINUX="b"', "not known"),
        ("unset GRUB_CMDLINE_LINUX", "is a script"),
        ('GRUB_CMDLINE_LINUX="quiet \\', "continues"),
        ("GRUB_CMDLINE_LINUX='quiet", "continues"),
        ("GRUB_CMDLINE_LINUX=a | cat", "not known"),
        ("GRUB_CMDLINE_LINUX=a; . /etc/default/grub-extra", "not known"),
        ("export GRUB_CMDLINE_LINUX=a;source /etc/default/grub-extra", "not known"),
        ("GRUB_CMDLINE_LINUX=a . /etc/default/grub-extra", "not known"),
        ("GRUB_CMDLINE_LINUX=kvm_amd.nested=0 export GRUB_TIMEOUT", "not known"),
    ],
)
def test_what_the_lines_do_not_determine_is_not_known(text: str, reason: str) -> None:
    assert reason in read(text).unknown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    values=st.lists(
        st.text("ab=1 \t'\"\\$#{}", max_size=10).map(lambda text: text.replace("a", "$GRUB_CMDLINE_LINUX")), max_size=3
    )
)
def test_a_value_that_is_known_is_the_shells(tmp_path: Path, values: list[str]) -> None:
    text = "".join(f"GRUB_CMDLINE_LINUX={value}\n" for value in values)
    found = read(text)
    seen = told_by_the_shell(tmp_path, text)
    if not found.unknown and seen is not None:
        assert given_by(text).strip() == seen.strip()


def test_a_value_that_grows_by_itself_is_bounded() -> None:
    text = 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX$GRUB_CMDLINE_LINUX xxxxxxxx"\n'
    assert "longer than the kernel reads" in read(text * 1000).unknown


class Counting:
    """A pattern that counts how many characters its matches take."""

    def __init__(self, pattern: "re.Pattern[str]") -> None:
        self.pattern, self.taken = pattern, 0

    def match(self, text: str, at: int = 0) -> "re.Match[str] | None":
        found = self.pattern.match(text, at)
        self.taken += len(found[0]) if found else 1
        return found


def test_the_work_grows_with_the_size_of_a_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    for lines in (2_000, 20_000):
        counting = Counting(module._PIECE)
        monkeypatch.setattr(module, "_PIECE", counting)
        assert given_by('GRUB_CMDLINE_LINUX="a"\n' * lines) == "a"
        monkeypatch.undo()
        steps.append(counting.taken)
    assert 0 < steps[1] <= 10 * steps[0]
