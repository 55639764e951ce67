"""What the readings say about KVM: its device, its users, and the processes that run VMs."""
