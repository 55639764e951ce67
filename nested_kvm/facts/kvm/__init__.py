"""What the readings show about KVM: its device, its users, and the processes that run VMs."""
