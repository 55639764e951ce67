# modprobe.d now says 0, the running module says 1, and a running guest keeps it from being reloaded.
# on: lab-l0
enter() {
    echo 'options kvm_amd nested=0' >/etc/modprobe.d/kvm-nested.conf
    ! modprobe -r kvm_amd 2>/dev/null || { modprobe kvm_amd nested=1; echo 'no guest runs to hold the module' >&2; exit 1; }
}
undo() { echo 'options kvm_amd nested=1' >/etc/modprobe.d/kvm-nested.conf; }
