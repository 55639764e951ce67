# The line stands in /lib, and a link to /dev/null of the same name in /etc hides it: only the kernel's default is left.
# on: lab-l0
enter() {
    mv /etc/modprobe.d/kvm-nested.conf /lib/modprobe.d/kvm-nested.conf
    ln -s /dev/null /etc/modprobe.d/kvm-nested.conf
}
undo() { mv -f /lib/modprobe.d/kvm-nested.conf /etc/modprobe.d/kvm-nested.conf; }
