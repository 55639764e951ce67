# libvirt-guests as the package ships it: nothing set. Upstream's default then is to save guests; Debian's is to shut down.
# on: lab-l0
enter() { sed -i 's/^ON_SHUTDOWN=/#&/' /etc/default/libvirt-guests; }
undo() { sed -i 's/^#ON_SHUTDOWN=/ON_SHUTDOWN=/' /etc/default/libvirt-guests; }
