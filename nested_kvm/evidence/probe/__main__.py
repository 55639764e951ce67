"""Print the probe; with arguments, they are set in it: `python -m nested_kvm.evidence.probe '' 10 always`."""

import sys

from nested_kvm.evidence.probe import probe_with

sys.stdout.write(probe_with(sys.argv[1:]))
