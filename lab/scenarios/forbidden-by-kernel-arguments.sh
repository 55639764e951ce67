# Kernel arguments switch nesting off, as Talos and a MachineConfig give them, now and in the boot loader's entry.
# kmod reads them from /proc/cmdline, which is another file here until the scenario is undone.
# on: lab-l0
# guests: restarted
arguments='kvm_intel.nested=0 kvm_amd.nested=0'
enter() {
    mv /etc/modprobe.d/kvm-nested.conf /root/kvm-nested.conf
    printf '%s %s\n' "$(cat /proc/cmdline)" "$arguments" >/run/lab-cmdline
    mkdir -p /boot/loader/entries
    printf 'options %s\n' "$(cat /run/lab-cmdline)" >/boot/loader/entries/lab.conf
    mount --bind /run/lab-cmdline /proc/cmdline
    reload
}
undo() {
    umount /proc/cmdline
    rm -f /boot/loader/entries/lab.conf /run/lab-cmdline
    mv /root/kvm-nested.conf /etc/modprobe.d/kvm-nested.conf
    reload
}
reload() {
    for name in $(virsh -q list --name); do virsh -q destroy "$name"; done
    unload
    modprobe "$module"
}
