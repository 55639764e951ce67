monitors() {
    begin 'virtual machine monitors'
    for program in qemu-system-x86_64 qemu-system-i386 qemu-system-s390x qemu-system-ppc64 qemu-system-aarch64 \
        qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt /usr/libexec/qemu-kvm; do command -v "$program"; done
    end ok
}

shutdown() {
    run systemctl is-enabled libvirt-guests
    settings 'ON_SHUTDOWN=' /etc/default/libvirt-guests
    settings 'ON_SHUTDOWN=' /etc/sysconfig/libvirt-guests
    settings 'ON_SHUTDOWN=' /usr/lib/libvirt/libvirt-guests.sh
    settings 'ON_SHUTDOWN=' /usr/libexec/libvirt-guests.sh
    settings '^[[:blank:]]*(auto_shutdown_|(user|group)[[:blank:]]*=)' /etc/libvirt/qemu.conf
}

# What libvirt remembers of each QEMU: of 200 kB the lines that say whether KVM gives the flag, and when it is outdated.
libvirts_memory() {
    names /var/cache/libvirt/qemu/capabilities
    for path in /var/cache/libvirt/qemu/capabilities/*.xml; do
        if [ ! -f "$path" ]; then continue; fi
        settings "^ *(<(emulator|qemuctime|selfvers|kernelVersion|arch)>|<flag name='kvm'/>|</?hostCPU|<property name='(svm|vmx)' |<kvmSupportsNesting/>)" "$path"
        emulator=$(sed -n 's:^ *<emulator>\(/[^<&]*\)</emulator>$:\1:p' "$path" 2>/dev/null | head -n 1)
        if [ -n "$emulator" ]; then run stat -L -c %Z "$emulator"; fi
    done
}

# Who may open /dev/kvm: its access control list, and the accounts that may be meant to run VMs.
accounts() {
    run getfacl -cnp /dev/kvm
    run id
    account "$1"
    account libvirt-qemu
    account qemu
    account "$(qemu_conf user)"
    group=$(qemu_conf group)
    if [ -n "$group" ]; then run getent group "$group"; fi
}

account() {
    case $1 in '' | -* | *[!A-Za-z0-9_.@-]*) return ;; esac
    run id "$1"
}

# The last value that qemu.conf gives a setting; `+` marks a number.
qemu_conf() {
    sed -n "s/^[[:blank:]]*$1[[:blank:]]*=[[:blank:]]*[^A-Za-z0-9_.+-]\{0,1\}+\{0,1\}\([A-Za-z0-9_.-]*\).*/\1/p" /etc/libvirt/qemu.conf \
        2>/dev/null | tail -n 1
}

# The next boot's command line, as the boot loaders' files have it; grub's may hold a password as well.
boot() {
    settings '^[[:blank:]]*(export[[:blank:]]+)?GRUB_CMDLINE_LINUX(_DEFAULT)?[+]?=' /etc/default/grub
    names /etc/default/grub.d
    for path in /etc/default/grub.d/*.cfg; do
        if [ -f "$path" ]; then settings '^[[:blank:]]*(export[[:blank:]]+)?GRUB_CMDLINE_LINUX(_DEFAULT)?[+]?=' "$path"; fi
    done
    file /etc/kernel/cmdline
    names /boot/loader/entries
    for path in /boot/loader/entries/*.conf; do
        if [ -f "$path" ]; then settings '^options[[:blank:]]' "$path"; fi
    done
    settings '^kernelopts=' /boot/grub2/grubenv
}

