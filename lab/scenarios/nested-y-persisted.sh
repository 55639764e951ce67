# kvm_amd's parameter is a number: `nested=y` makes the next load of the module fail, while the loaded module has nested on.
# on: lab-l0
enter() { echo "options $module nested=y" >/etc/modprobe.d/kvm-nested.conf; }
undo() { echo "options $module nested=1" >/etc/modprobe.d/kvm-nested.conf; }
