"""Reading libvirt, through its library or through virsh."""
