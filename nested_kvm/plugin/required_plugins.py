"""The plugins without which the audit would ask less, or report it nowhere."""

from collections.abc import Callable, Iterable
from typing import Final

REQUIRED_PLUGINS: Final = {
    "html": "pytest-html",
    "metadata": "pytest-metadata",
    "pytest11.testinfra": "pytest-testinfra",
    "nested_kvm_early": "the audit's own plugin early",
    **{
        f"nested_kvm.plugin.{name}": f"the audit's own plugin {name}"
        for name in ("hooks", "html_report", "fixtures", "control_item")
    },
    **{
        name: f"pytest's plugin {name}"
        for name in (
            "terminal",
            "terminalreporter",
            "junitxml",
            "mark",
            "runner",
            "python",
            "fixtures",
            "skipping",
            "unittest",
        )
    },
}
"""Their names, as `-p no:` takes them, and what people call them."""
_MADE_LATER: Final = "terminalreporter"
"""Registered once the command line was checked."""


def missing_plugin(names: Iterable[str], is_there: Callable[[str], bool]) -> str | None:
    """Return the sentence on the first plugin that is not there; None: all are."""
    gone = next((name for name in names if not is_there(name)), None)
    if gone is None:
        return None
    return f"{REQUIRED_PLUGINS[gone]} is not active: the audit needs it; see -p and PYTEST_DISABLE_PLUGIN_AUTOLOAD"


def registered_before_the_run() -> list[str]:
    """The plugins that are registered when the command line is checked."""
    return [name for name in REQUIRED_PLUGINS if name != _MADE_LATER]
