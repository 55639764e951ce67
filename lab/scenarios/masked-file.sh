# The option is set in /lib, and a link of the same name in /etc to /dev/null masks it: the kernel's default applies.
# on: lab-l0
enter() {
    mv /etc/modprobe.d/kvm-nested.conf /lib/modprobe.d/kvm-nested.conf
    ln -s /dev/null /etc/modprobe.d/kvm-nested.conf
}
undo() { mv -f /lib/modprobe.d/kvm-nested.conf /etc/modprobe.d/kvm-nested.conf; }
