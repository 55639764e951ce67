"""What is read from libvirt, by its library or by virsh."""
