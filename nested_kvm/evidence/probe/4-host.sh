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
    settings '^[[:blank:]]*auto_shutdown_' /etc/libvirt/qemu.conf
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

