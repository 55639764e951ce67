"""The command line of `nested-kvm`: its help, its schemas, and what it makes of mistakes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from nested_kvm.command import main
from nested_kvm.command.parser import SCHEMAS, SHELLS, audit_options, build_parser
from nested_kvm.evidence.probe import readable_probe
from nested_kvm.plugin.option_conflicts import _FOR_THE_MERGED_RUNS

ROOT = Path(__file__).parents[3]
SCREEN = (40, 80)
"""Lines and columns of a terminal."""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "nested_kvm", *words],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_help_is_one_screen_with_every_command_examples_and_exit_statuses() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    lines = answer.stdout.splitlines()
    assert len(lines) <= SCREEN[0]
    assert max(map(len, lines)) <= SCREEN[1]
    assert {"examples:", "exit status:"} <= set(lines)
    commands = (
        "audit gate maintenance merge controls explain init doctor probe import-answers schema validate completion"
    )
    assert all(any(line.split()[:1] == [name] for line in lines) for name in commands.split())


def test_no_command_is_a_usage_error_that_shows_the_help() -> None:
    answer = run()
    assert (answer.returncode, "examples:" in answer.stdout) == (4, True)


def test_the_options_of_an_audit_are_those_that_pytest_gets() -> None:
    """A new option of the audit appears in the command's help and completion by itself."""
    shown = run("audit", "--help").stdout
    pytests = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    own = [name for name in audit_options() if f"{name} " in shown]
    assert "--fail-on-drift" in own
    assert all(name in pytests for name in own)


@pytest.mark.parametrize("word", ["--inventroy=x", "--hots=local://", "--fail-no=low"])
def test_an_option_that_is_nearly_ours_is_named(word: str) -> None:
    answer = run("audit", word)
    meant = {"--inventroy": "--inventory", "--hots": "--hosts", "--fail-no": "--fail-on"}[word.partition("=")[0]]
    assert answer.returncode == 4
    assert f"did you mean {meant}?" in answer.stderr


def test_the_id_of_a_control_in_place_of_a_file_is_explained() -> None:
    answer = run("audit", "--hosts=local://", "L0-PER-01")
    assert answer.returncode == 4
    assert "a control is selected by -k L0-PER-01" in answer.stderr


@pytest.mark.parametrize(
    "words", [["doctor", "--jsno"], ["probe", "--x"], ["nonsense"], ["schema", "nothing"], ["import-answers"]]
)
def test_other_mistakes_are_usage_errors(words: list[str]) -> None:
    answer = run(*words)
    assert (answer.returncode, answer.stdout) == (4, "")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("words", "missing"),
    [(["validate"], "inventory|waivers, FILE"), (["completion"], "bash|zsh|fish"), (["schema"], "inventory|waivers|")],
)
def test_what_is_missing_is_named_by_what_can_be_typed(words: list[str], missing: str) -> None:
    assert f"the following arguments are required: {missing}" in run(*words).stderr


def test_the_help_of_a_merge_names_the_options_that_go_with_it() -> None:
    named = set(re.findall(r"--[a-z-]+", run("merge", "--help").stdout)) - {"--help"}
    assert named == {*audit_options(), "--nagios"} & named
    assert {"--gate", "--fail-on", "--max-age"} <= named
    assert not {f"--{name.replace('_', '-')}" for name in _FOR_THE_MERGED_RUNS} & named


def test_without_docstrings_it_refuses() -> None:
    answer = subprocess.run(
        [sys.executable, "-OO", "-m", "nested_kvm", "explain", "L0-PER-01"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (4, "")
    assert "-OO" in answer.stderr


def test_the_probe_takes_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "", "10", "always"]) == 0
    assert capsys.readouterr().out == f"set -- '' 10 always\n{readable_probe()}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("inventory", "inventories/example.yaml"),
        ("inventory", "inventories/local.yaml"),
        ("inventory", "examples/fleet/inventory.yaml"),
        ("inventory", "lab/inventory.yaml"),
        ("waivers", "examples/fleet/waivers.yaml"),
    ],
)
def test_a_schema_takes_our_own_files(name: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema", name])
    yaml = YAML(typ="safe")
    yaml.version = (1, 2)
    yaml.constructor.yaml_constructors["tag:yaml.org,2002:timestamp"] = yaml.constructor.yaml_constructors[
        "tag:yaml.org,2002:str"
    ]
    jsonschema.validate(yaml.load(ROOT / path), json.loads(capsys.readouterr().out))


def test_a_schema_refuses_an_unknown_key(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema", "inventory"])
    with pytest.raises(jsonschema.ValidationError, match="adress"):
        jsonschema.validate({"hosts": {"a": {"adress": "local://"}}}, json.loads(capsys.readouterr().out))


def test_files_are_validated_each_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("hosts:\n  a: {adress: local://}\n")
    (tmp_path / "worse.yaml").write_text("hosts: [")
    good = ROOT / "inventories" / "example.yaml"
    assert main(["validate", "inventory", str(good)]) == 0
    assert main(["validate", "inventory", str(tmp_path / "bad.yaml"), str(good), str(tmp_path / "worse.yaml")]) == 4
    errors = capsys.readouterr().err
    assert f"{tmp_path}/bad.yaml:2" in errors
    assert f"{tmp_path}/worse.yaml:" in errors
    assert main(["validate", "waivers", str(ROOT / "examples" / "fleet" / "waivers.yaml")]) == 0


def complete(line: str) -> set[str]:
    """Ask for completions as a shell does: argcomplete answers on descriptor 8."""
    read, write = os.pipe()
    script = f'exec 8>&{write}; exec "$0" -m nested_kvm'
    subprocess.run(
        ["bash", "-c", script, sys.executable],
        cwd=ROOT,
        pass_fds=[write],
        env={
            "PATH": os.environ["PATH"],
            "_ARGCOMPLETE": "3",
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        },
        check=False,
    )
    os.close(write)
    with os.fdopen(read) as answers:
        return {word.strip() for word in answers.read().split("\n") if word.strip()}


def test_a_shell_completes_commands_and_the_audits_options() -> None:
    assert {"maintenance", "merge"} <= complete("python -m nested_kvm m")
    assert "--fail-on-drift" in complete("python -m nested_kvm gate --fail")


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_completion_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "nested-kvm" in capsys.readouterr().out


def test_the_man_page_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "tools" / "manpage.py")]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "nested-kvm.1").read_text()
    assert page == made, "run: python tools/manpage.py > docs/nested-kvm.1"
    assert all(f"\n.SS {name}" in page for name in ("audit", "doctor", "explain"))


@pytest.mark.needs("groff")
def test_the_man_page_is_roff() -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", str(ROOT / "docs" / "nested-kvm.1")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_parser_has_a_help_for_every_command() -> None:
    assert "==SUPPRESS==" not in build_parser().format_help()
