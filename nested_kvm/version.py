"""The version of nested-kvm-compliance."""

from importlib.metadata import version

VERSION = version("nested-kvm-compliance")
