# modprobe.d says 0, the loaded module has 1, and a running guest prevents its reload.
# on: lab-l0
enter() {
    echo "options $module nested=0" >/etc/modprobe.d/kvm-nested.conf
    ! modprobe -r "$module" 2>/dev/null || { modprobe "$module" nested=1; echo 'no guest is running that uses the module' >&2; exit 1; }
}
undo() { echo "options $module nested=1" >/etc/modprobe.d/kvm-nested.conf; }
