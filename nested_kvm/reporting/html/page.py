"""The finished page: pytest-html's with our style, which runs only the two scripts that belong to it."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent / "templates"
_HEAD: Final = '<meta charset="utf-8"/>'


def completed(page: str) -> str:
    """Add language, security policy, style and script to what pytest-html wrote.

    Raises:
        ValueError: the page is not one of pytest-html's.
    """
    if page.count("<html>") == 0 or _HEAD not in page:
        raise ValueError("this is not a page of pytest-html")
    head = "\n".join((_HEAD, _policy(page), _META, f"<script>{asset('script.js')}</script>"))
    page = page.replace("<html>", '<html lang="en">', 1).replace(_HEAD, head, 1)
    page = page.replace(' onclick="location.reload()"', "", 1)  # of a report that is still being written
    return page.replace("</head>", f"<style>{asset('style.css')}</style>\n</head>", 1)


_META: Final = """\
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="referrer" content="no-referrer"/>"""


def _policy(page: str) -> str:
    """Return a policy that allows known scripts only: none that came from a target, an inventory or a file."""
    rules = _rules(asset("script.js"), _script_of_pytest_html(page))
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}"/>'


def own_policy() -> str:
    """Return the same policy for a page without pytest-html's script."""
    return _rules(asset("script.js"))


def _rules(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes}",
            "style-src 'unsafe-inline' 'self'",
            "img-src data:",
            "media-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _script_of_pytest_html(page: str) -> str:
    """Return the last script of the page: it stands after everything that came from outside."""
    return page.rpartition("<script>")[2].partition("</script>")[0]


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def asset(name: str) -> str:
    """Return one of our own files."""
    return (_HERE / name).read_text(encoding="utf-8")
