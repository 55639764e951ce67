"""All of pytest: hooks, options, items and fixtures."""

from typing import Final

INSTALLED: Final = "nested_kvm_installed"
"""The plugin of an audit that was started outside a checkout."""
