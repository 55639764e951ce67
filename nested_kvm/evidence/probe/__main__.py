"""Print the probe; with arguments, they are set in it: `python -m nested_kvm.evidence.probe '' 10 always`."""

import shlex
import sys

from nested_kvm.evidence.probe import readable_probe

if len(sys.argv) > 1:
    sys.stdout.write(f"set -- {shlex.join(sys.argv[1:])}\n")
sys.stdout.write(readable_probe())
