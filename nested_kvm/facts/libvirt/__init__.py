"""What libvirt reports about itself and its domains."""
