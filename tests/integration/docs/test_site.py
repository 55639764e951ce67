"""The site that `make docs` builds: without a warning, without a dead link, and readable without a network."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.needs("docs")]
FETCHED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}
"""What a browser fetches by itself, unlike the target of a link."""


class Page(HTMLParser):
    """The addresses in a page, and what may be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in {"id", "name"}:
                self.ids.add(value)
            elif value and (tag, name) in FETCHED:
                self.fetched.append(value)
            elif value and (tag, name) == ("a", "href"):
                self.links.append(value)


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / "tools" / "docs.sh", site], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    answer = build(ROOT, folder)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_docs_is_in_it(pages: dict[Path, Page], site: Path) -> None:
    built = {str(path.relative_to(site).with_suffix("")) for path in pages}
    written = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in (ROOT / "docs").rglob("*.md")}
    assert written - built == set()
    assert len(written) > 30


def test_every_link_leads_to_a_file_and_an_anchor(pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if address.scheme or address.netloc:
                continue
            lacks = target in pages and address.fragment and unquote(address.fragment) not in pages[target].ids
            if not target.exists() or lacks:
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_it_needs_no_network(pages: dict[Path, Page], site: Path) -> None:
    """No font, script, style or image comes from elsewhere."""
    outside = {f"{path.name}: {link}" for path, page in pages.items() for link in page.fetched if "//" in link}
    assert outside == set()
    styles = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    assert {
        name for name, text in styles.items() if re.search(r"url\(['\"]?(https?:)?//|@import ['\"]https?:", text)
    } == set()


def test_the_search_knows_the_words_of_a_message(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert '"symptoms"' in index
    assert "bios" in index


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's pages and tools, in a folder where one of them can be spoiled."""
    folder = tmp_path_factory.mktemp("broken")
    for name in ("docs", "tools", "contrib", "nested_kvm", "inventories", "checks", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "action.yml", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[a page](missing.md)", "missing"),
        ("[a heading](gate.md#there-is-no-such-heading)", "there-is-no-such-heading"),
    ],
)
def test_a_dead_link_is_an_error(broken: Path, tmp_path: Path, line: str, says: str) -> None:
    page = broken / "docs" / "forbid.md"
    whole = page.read_text()
    page.write_text(f"{whole}\n{line}\n")
    answer = build(broken, tmp_path)
    page.write_text(whole)
    assert answer.returncode == 1
    assert says in answer.stderr
