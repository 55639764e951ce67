# modprobe.d now says 0, the running module says 1, and a running guest keeps it from being reloaded.
# on: lab-l0
enter() {
    echo "options $module nested=0" >/etc/modprobe.d/kvm-nested.conf
    ! modprobe -r "$module" 2>/dev/null || { modprobe "$module" nested=1; echo 'no guest runs to hold the module' >&2; exit 1; }
}
undo() { echo "options $module nested=1" >/etc/modprobe.d/kvm-nested.conf; }
