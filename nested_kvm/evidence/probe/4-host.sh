qemu_conf=/etc/libvirt/qemu.conf
memory=/var/cache/libvirt/qemu/capabilities
grub='^[[:blank:]]*(export[[:blank:]]+)?GRUB_CMDLINE_LINUX(_DEFAULT)?[+]?='

monitors() {
    begin 'virtual machine monitors'
    print_said
    for program in qemu-system-x86_64 qemu-system-i386 qemu-system-s390x qemu-system-ppc64 qemu-system-aarch64 \
        qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt /usr/libexec/qemu-kvm; do command -v "$program"; done
    end ok
}

shutdown() {
    settings 'ON_SHUTDOWN=' /etc/default/libvirt-guests /etc/sysconfig/libvirt-guests \
        /usr/lib/libvirt/libvirt-guests.sh /usr/libexec/libvirt-guests.sh
    settings '^[[:blank:]]*(auto_shutdown_|(user|group)[[:blank:]]*=)' "$qemu_conf"
    for_qemu=$lines
}

# What libvirt remembers of each QEMU: of 200 kB the lines that say whether KVM gives the flag, and when it is outdated.
libvirts_memory() {
    names "$memory"
    for path in "$memory"/*.xml; do
        [ -f "$path" ] || continue
        settings "^ *(<(emulator|qemuctime|selfvers|kernelVersion|arch)>|<flag name='kvm'/>|</?hostCPU|<property name='(svm|vmx)' |<kvmSupportsNesting/>)" "$path"
        emulator=$(sed -n 's:^ *<emulator>\(/[^<&]*\)</emulator>$:\1:p' "$path" 2>/dev/null)
        emulator=${emulator%%"$newline"*}
        [ -z "$emulator" ] || run stat -L -c %Z "$emulator"
    done
}

# The accounts that qemu.conf means to run VMs.
accounts() {
    qemu_conf user
    account "$value"
    qemu_conf group
    [ -z "$value" ] || run getent group "$value"
}

is_account() { case $1 in '' | -* | *[!A-Za-z0-9_.@-]*) return 1 ;; esac; }

account() { if is_account "$1"; then run id "$1"; fi; }

# Sets $value: the last that qemu.conf gives a setting; `+` marks a number.
qemu_conf() {
    value=
    [ -n "$for_qemu" ] || return
    value=$(sed -n "s/^[[:blank:]]*$1[[:blank:]]*=[[:blank:]]*[^A-Za-z0-9_.+-]\{0,1\}+\{0,1\}\([A-Za-z0-9_.-]*\).*/=\1/p" \
        "$qemu_conf" 2>/dev/null)
    value=${value##*=}
}

# The next boot's command line, as the boot loaders' files have it; grub's may hold a password as well.
boot() {
    settings "$grub" /etc/default/grub
    names /etc/default/grub.d
    present "$grub" /etc/default/grub.d/*.cfg
    file /etc/kernel/cmdline
    names /boot/loader/entries
    present '^options[[:blank:]]' /boot/loader/entries/*.conf
    settings '^kernelopts=' /boot/grub2/grubenv
}
