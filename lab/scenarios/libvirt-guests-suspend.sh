# libvirt-guests saves every running guest to disk when the host shuts down, guests with an L2 among them.
# on: lab-l0
enter() { sed -i 's/^ON_SHUTDOWN=.*/ON_SHUTDOWN=suspend/' /etc/default/libvirt-guests; }
undo() { sed -i 's/^ON_SHUTDOWN=.*/ON_SHUTDOWN=shutdown/' /etc/default/libvirt-guests; }
