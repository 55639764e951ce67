"""What the README and the pages behind it show works."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from nested_kvm.results.waiver_file import load_waivers
from tests.support.suite import REPORTS, run_suite

ROOT = Path(__file__).parents[3]
LINES = 150
"""A README is read in one go; what is longer belongs to a page of docs/."""


def text(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)


def test_the_readme_is_short_and_leads_to_the_list_of_pages() -> None:
    readme = text("README.md")
    assert len(readme.splitlines()) <= LINES
    assert "(docs/index.md)" in readme
    assert {"$ make audit", "$ make test"} <= {" ".join(line.split()[:3]) for line in readme.splitlines()}


def test_the_list_of_pages_is_complete() -> None:
    tables = "".join(blocks("docs/index.md", "{toctree}") + blocks("docs/decisions/index.md", "{toctree}"))
    listed = set(tables.splitlines())
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")} - {Path("index.md")}
    names = {str(page.with_suffix("")).removeprefix("decisions/") for page in pages} - {"index"}
    assert {name for name in names if name not in listed} == set()
    assert "decisions/index" in listed


def test_the_example_of_waivers_is_valid(tmp_path: Path) -> None:
    (block,) = [each for each in blocks("docs/waivers.md", "yaml") if each.startswith("waivers:")]
    path = tmp_path / "waivers.yaml"
    path.write_text(block)
    assert [(each.control, str(each.expires)) for each in load_waivers(path)] == [
        ("L0-SEC-*", "2027-03-31"),
        ("DOM-CPU-05", "None"),
    ]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_every_report_has_its_row(name: str) -> None:
    assert f"| `{name}` | " in text("docs/reports.md")


def test_the_recipe_for_gitlab_is_yaml() -> None:
    (block,) = [each for each in blocks("docs/ci.md", "yaml") if "# GitLab CI\n" in each]
    job = YAML(typ="safe").load(block.partition("# GitLab CI\n")[2])["audit"]
    assert job["artifacts"]["reports"]["junit"] == "reports/latest/junit.xml"


@pytest.mark.parametrize("service", ["GitHub Actions", "GitLab CI"])
def test_the_recipes_for_several_controllers_name_every_shard(service: str) -> None:
    (block,) = [each for each in blocks("docs/sharding.md", "yaml") if f"# {service}, four runners" in each]
    workflow = YAML(typ="safe").load(block)
    jobs = workflow.get("jobs", workflow)
    lines = [str(line) for line in jobs["merge"].get("script", jobs["merge"].get("steps"))]
    assert [number for number in (1, 2, 3, 4) if not any(f"shard-{number}" in line for line in lines)] == []
    assert "shard=" in str(jobs["audit"])


def test_every_option_has_its_row(tmp_path: Path) -> None:
    help_text = run_suite("--help", report_dir=tmp_path / "reports").output
    ours = help_text.partition("nested KVM compliance (write --name=value):")[2].partition("\n\n")[0]
    options = set(re.findall(r"^  (--[a-z-]+)", ours, re.MULTILINE))
    assert "--inventory" in options
    assert {option for option in options if f"`{option}" not in text("docs/options.md")} == set()
