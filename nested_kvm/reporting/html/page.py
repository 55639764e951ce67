"""The finished file: pytest-html's page in the suite's looks, which runs no script but the two that it came with."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent / "templates"
_HEAD: Final = '<meta charset="utf-8"/>'


def completed(page: str) -> str:
    """Add language, policy, looks and behaviour to what pytest-html wrote.

    Raises:
        ValueError: the page is not one of pytest-html's.
    """
    if page.count("<html>") == 0 or _HEAD not in page:
        raise ValueError("this is not a page of pytest-html")
    head = "\n".join((_HEAD, _policy(page), _META, f"<script>{_asset('script.js')}</script>"))
    page = page.replace("<html>", '<html lang="en">', 1).replace(_HEAD, head, 1)
    page = page.replace(' onclick="location.reload()"', "", 1)  # of a report that is still being written
    return page.replace("</head>", f"<style>{_asset('style.css')}</style>\n</head>", 1)


_META: Final = """\
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="referrer" content="no-referrer"/>"""


def _policy(page: str) -> str:
    """Only scripts of which the text is known may run: nothing that a target, an inventory or a file brought."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in (_asset("script.js"), _script_of_pytest_html(page)))
    rules = (
        "default-src 'none'",
        f"script-src {hashes}",
        "style-src 'unsafe-inline' 'self'",
        "img-src data:",
        "media-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}"/>'


def _script_of_pytest_html(page: str) -> str:
    """The last of the page: behind all that anybody else could have brought into it."""
    return page.rpartition("<script>")[2].partition("</script>")[0]


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
