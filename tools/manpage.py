"""The man page of nested-kvm, from its parser: `python tools/manpage.py > docs/nested-kvm.1`."""

import os
import sys

os.environ["COLUMNS"] = "80"  # argparse wraps by it

from argparse_manpage.manpage import Manpage

from nested_kvm.command.parser import build_parser


def manpage() -> str:
    """Return the page. It carries no date and no version: it changes with the parser alone."""
    page = Manpage(build_parser())  # type: ignore[no-untyped-call]  # the library has no types
    page.date, page.source, page.manual = "", "nested-kvm-compliance", "nested KVM compliance"
    page.description = "audits whether KVM guests can, or cannot, run their own virtual machines"
    return str(page)


if __name__ == "__main__":
    sys.stdout.write(manpage())
