"""The files for operations, each checked by its own tool."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from nested_kvm.command.parser import WRITTEN
from nested_kvm.command.schema import generated, schema

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(sys.executable).parent
CONTRIB = ROOT / "contrib"
UNITS = sorted((CONTRIB / "systemd").iterdir())
BUILT_IN = {
    "action.yml": "vendor.github-actions",
    ".github/ISSUE_TEMPLATE/wrong-result.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/field-failure.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    "contrib/gitlab/nested-kvm.gitlab-ci.yml": "vendor.gitlab-ci",
    "nested_kvm/command/job.github.yml": "vendor.github-workflows",
    "nested_kvm/command/job.gitlab.yml": "vendor.gitlab-ci",
}
INVENTORIES = [*sorted((ROOT / "inventories").glob("*.yaml")), *sorted((ROOT / "examples").rglob("inventory*.yaml"))]


def run(*command: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.mark.parametrize("path", BUILT_IN)
def test_what_a_forge_reads_follows_its_schema(path: str) -> None:
    transform = ["--data-transform", "gitlab-ci"] if "gitlab" in path else []
    answer = run(PROGRAMS / "check-jsonschema", "--builtin-schema", BUILT_IN[path], *transform, path)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_issue_form_is_checked() -> None:
    forms = {str(path.relative_to(ROOT)) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()}
    assert forms <= BUILT_IN.keys()


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_inventory_follows_the_schema(path: Path) -> None:
    file = ROOT / "nested_kvm" / "schema" / "inventory-1.schema.json"
    answer = run(PROGRAMS / "check-jsonschema", "--schemafile", file, path)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_waiver_file_follows_the_schema() -> None:
    file = ROOT / "nested_kvm" / "schema" / "waivers-1.schema.json"
    answer = run(PROGRAMS / "check-jsonschema", "--schemafile", file, "examples/fleet/waivers.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("name", WRITTEN)
def test_the_schemas_are_those_of_the_models(name: str) -> None:
    assert schema(name) == generated(name), "run: python -m nested_kvm.command.schema"


def test_the_examples_modeline_names_its_schema() -> None:
    first = (ROOT / "inventories" / "example.yaml").read_text().splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match is not None
    assert json.loads((ROOT / "inventories" / match[1]).read_text())["title"] == "inventory"


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """The program that a unit starts need not be installed here: a stand-in is put in its place."""
    program = tmp_path / "nested-kvm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for each in UNITS:
        text = each.read_text().replace("/opt/nested-kvm/bin/nested-kvm", str(program))
        (tmp_path / each.name).write_text(text)
    answer = run("systemd-analyze", "verify", "--man=no", tmp_path / unit.name)
    about_it = [line for line in answer.stderr.splitlines() if unit.name in line]
    assert (answer.returncode, about_it) == (0, []), answer.stderr


def test_the_unit_calls_a_command_that_exists() -> None:
    (line,) = re.findall(r"^ExecStart=.*/nested-kvm ((?:.*\\\n)*.*)$", UNITS[0].read_text(), re.MULTILINE)
    words = line.replace("\\\n", " ").split()
    shown = run(sys.executable, "-m", "nested_kvm", words[0], "--help").stdout
    assert words[0] == "gate"
    assert "--inventory" in shown


def test_kubernetes_takes_the_cron_job() -> None:
    for document in YAML(typ="safe").load_all(CONTRIB / "kubernetes" / "cronjob.yaml"):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_a_cron_job_with_a_mistake_is_refused() -> None:
    document = load(CONTRIB / "kubernetes" / "cronjob.yaml")
    document["spec"]["schedul"] = document["spec"].pop("schedule")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_pre_commit_takes_the_hooks() -> None:
    answer = run(PROGRAMS / "pre-commit", "validate-manifest", ".pre-commit-hooks.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.slow
@pytest.mark.heavy
def test_pre_commit_runs_the_hook_of_candidates(tmp_path: Path) -> None:
    """pre-commit installs this checkout in an environment of its own, and gives the hook what is staged."""
    repository = tmp_path / "manifests"
    repository.mkdir()
    for name in ("pass.yaml", "fail.yaml"):
        shutil.copy(ROOT / "examples" / "candidates" / "kubevirt" / name, repository)
    (repository / "values.yaml").write_text("replicas: 1\n")
    run("git", "init", "--quiet", folder=repository)
    run("git", "add", ".", folder=repository)

    def hook(*names: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / "pre-commit"), "try-repo", str(ROOT), "nested-kvm-candidate", "--files", *names]
        return subprocess.run(
            command,
            cwd=repository,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    passed, failed = hook("pass.yaml", "values.yaml"), hook("pass.yaml", "fail.yaml")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert failed.returncode == 1
    assert "fail.yaml:17: ci/runner-2: FAIL: vmx or svm is not exposed" in failed.stdout


def test_a_hook_finds_a_mistake_and_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("hosts:\n  a: {adress: local://}\n")
    entries = {hook["id"]: hook for hook in load(ROOT / ".pre-commit-hooks.yaml")}
    program, *words = entries["nested-kvm-inventory"]["entry"].split()
    answer = run(PROGRAMS / program, *words, "inventory.yaml", folder=tmp_path)
    assert answer.returncode == 4
    assert answer.stderr.startswith("inventory.yaml:2")


@pytest.mark.parametrize(
    ("path", "is_checked"),
    [
        ("inventories/prod.yaml", True),
        ("fleet/inventory.yml", True),
        ("inventory.yaml", True),
        ("myinventory.yaml", False),
        ("inventories/README.md", False),
    ],
)
def test_the_hook_takes_inventories_only(path: str, *, is_checked: bool) -> None:
    hook = next(each for each in load(ROOT / ".pre-commit-hooks.yaml") if each["id"] == "nested-kvm-inventory")
    assert (re.search(hook["files"], path) is not None) is is_checked


def test_the_containerfile_needs_the_wheel_alone() -> None:
    text = (CONTRIB / "container" / "Containerfile").read_text()
    assert re.findall(r"^COPY (\S+)", text, re.MULTILINE) == ["nested_kvm_compliance-*.whl"]
    assert 'ENTRYPOINT ["nested-kvm"]' in text


ACTION = ROOT / "action.yml"


@pytest.mark.needs("shellcheck")
def test_the_actions_scripts_are_shellcheck_clean() -> None:
    for step in load(ACTION)["runs"]["steps"]:
        answer = subprocess.run(
            ["shellcheck", "--shell=bash", "-"], input=step["run"], capture_output=True, text=True, check=False
        )
        assert (answer.returncode, answer.stdout) == (0, "")


def test_the_action_passes_its_inputs_on_as_words(tmp_path: Path) -> None:
    """An input is data: a quote or a semicolon in it starts nothing."""
    program = tmp_path / "nested-kvm" / "bin" / "nested-kvm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    program.chmod(0o755)
    script = load(ACTION)["runs"]["steps"][1]["run"]
    options = "-k L0\n\n--fail-on=high\n$(touch pwned)\n"
    given = {"COMMAND": "gate", "INVENTORY": "a b'; touch pwned", "OPTIONS": options}
    answer = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path), **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "<gate><--inventory=a b'; touch pwned><-k L0><--fail-on=high><$(touch pwned)>"
    assert not (tmp_path / "pwned").exists()


def test_a_machine_of_the_demo_that_was_not_inspected_is_called_by_its_own_name() -> None:
    files = [json.loads(path.read_text()) for path in (ROOT / "examples" / "fleet" / "evidence").glob("*.json")]
    named = {each["target"]["name"]: each["failure"]["message"] for each in files if each["failure"]}
    assert named
    assert [name for name, message in named.items() if not message.startswith(name)] == []
