# PYTHON_ARGCOMPLETE_OK
"""`nested-kvm`, or `python -m nested_kvm`."""

import sys

from nested_kvm.command import main

if __name__ == "__main__":
    sys.exit(main())
