"""What the README shows works."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from nested_kvm.results.waiver_file import load_waivers
from tests.support.suite import REPORTS, run_suite

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_its_waivers_are_valid(tmp_path: Path) -> None:
    (block,) = [each for each in blocks("yaml") if each.startswith("waivers:")]
    path = tmp_path / "waivers.yaml"
    path.write_text(block)
    assert [(each.control, str(each.expires)) for each in load_waivers(path)] == [
        ("L0-SEC-*", "2027-03-31"),
        ("DOM-CPU-05", "None"),
    ]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_it_names_every_report(name: str) -> None:
    assert f"| `{name}` | " in TEXT


def test_its_recipe_for_gitlab_is_yaml() -> None:
    (block,) = [each for each in blocks("yaml") if "# GitLab CI\n" in each]
    job = YAML(typ="safe").load(block.partition("# GitLab CI\n")[2])["audit"]
    assert job["artifacts"]["reports"]["junit"] == "reports/latest/junit.xml"


@pytest.mark.parametrize("service", ["GitHub Actions", "GitLab CI"])
def test_its_recipes_for_several_controllers_name_every_shard(service: str) -> None:
    (block,) = [each for each in blocks("yaml") if f"# {service}, four runners" in each]
    text = YAML(typ="safe").load(block)
    jobs = text.get("jobs", text)
    lines = [str(line) for line in jobs["merge"].get("script", jobs["merge"].get("steps"))]
    assert [number for number in (1, 2, 3, 4) if not any(f"shard-{number}" in line for line in lines)] == []
    assert "shard=" in str(jobs["audit"])


def test_it_names_every_option(tmp_path: Path) -> None:
    text = run_suite("--help", report_dir=tmp_path / "reports").output
    ours = text.partition("nested KVM compliance (write --name=value):")[2].partition("\n\n")[0]
    options = set(re.findall(r"^  (--[a-z-]+)", ours, re.MULTILINE))
    assert len(options) > 10
    assert {option for option in options if f"`{option}" not in TEXT} == set()
