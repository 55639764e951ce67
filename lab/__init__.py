"""A real nested stack under emulation: a host with KVM and libvirt, its guests, and guests of theirs."""
