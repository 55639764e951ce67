# The modules of both vendors are replaced, blacklisted and unloaded, and there is no /dev/kvm: EGI's second recipe.
# on: lab-l0
# guests: restarted
enter() {
    for name in $(virsh -q list --name); do virsh -q destroy "$name"; done
    unload
    for each in kvm_intel kvm_amd; do printf 'install %s /bin/false\nblacklist %s\n' "$each" "$each"; done \
        >/etc/modprobe.d/disable-kvm.conf
    ! modprobe "$module"
    [ ! -e /dev/kvm ]
}
undo() {
    rm -f /etc/modprobe.d/disable-kvm.conf
    modprobe "$module"
}
