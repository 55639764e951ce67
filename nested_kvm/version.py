"""The suite's own version."""

from importlib.metadata import version

VERSION = version("nested-kvm-compliance")
