# kvm_amd was reloaded with nested=0 while modprobe.d still says 1: off now, on after the next reboot.
# on: lab-l0
# guests: restarted
enter() { reload nested=0; }
undo() { reload; }
reload() {
    for name in $(virsh -q list --name); do virsh -q destroy "$name"; done
    unload
    modprobe "$module" "$@"
}
