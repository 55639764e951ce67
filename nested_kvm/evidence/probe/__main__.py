"""Print the probe."""

import sys

from nested_kvm.evidence.probe import probe_script

sys.stdout.write(probe_script())
