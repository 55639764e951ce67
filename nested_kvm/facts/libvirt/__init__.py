"""What libvirt says about itself and its domains."""
