# kvm_amd's parameter is a number: `nested=y` makes the next load of the module fail, while today all is well.
# on: lab-l0
enter() { echo 'options kvm_amd nested=y' >/etc/modprobe.d/kvm-nested.conf; }
undo() { echo 'options kvm_amd nested=1' >/etc/modprobe.d/kvm-nested.conf; }
