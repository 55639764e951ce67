"""What the next load of the KVM module, and the next boot, will do."""
