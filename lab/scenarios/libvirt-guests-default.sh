# libvirt-guests as the package ships it: nothing set. Upstream's default then is to suspend guests, Debian's to shut them down.
# on: lab-l0
enter() { sed -i 's/^ON_SHUTDOWN=/#&/' /etc/default/libvirt-guests; }
undo() { sed -i 's/^#ON_SHUTDOWN=/ON_SHUTDOWN=/' /etc/default/libvirt-guests; }
