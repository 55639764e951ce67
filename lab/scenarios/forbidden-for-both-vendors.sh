# Nesting is switched off for the modules of both vendors, and the module was reloaded: EGI's first recipe.
# on: lab-l0
# guests: restarted
enter() {
    mv /etc/modprobe.d/kvm-nested.conf /root/kvm-nested.conf
    printf 'options kvm_intel nested=0\noptions kvm_amd nested=0\n' >/etc/modprobe.d/kvm.conf
    reload
}
undo() {
    rm -f /etc/modprobe.d/kvm.conf
    mv /root/kvm-nested.conf /etc/modprobe.d/kvm-nested.conf
    reload
}
reload() {
    for name in $(virsh -q list --name); do virsh -q destroy "$name"; done
    unload
    modprobe "$module"
}
