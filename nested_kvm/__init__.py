"""Audits nested virtualization under KVM: can an L1 run an L2, now and after the next reboot?"""

from importlib.metadata import version

__version__ = version("nested-kvm-compliance")
