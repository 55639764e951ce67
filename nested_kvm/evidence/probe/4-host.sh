qemu_conf=/etc/libvirt/qemu.conf
memory=/var/cache/libvirt/qemu/capabilities
blank='[[:blank:]]'
esps='/boot /efi /boot/efi'
grub="^[^#]*GRUB_CMDLINE|^$blank*(\.|source|if|case|for|while|\[|eval)$blank"
sought="^(kernelopts|tuned_params|(VARIANT_|IMAGE_)?ID)=|^[^# ]+ /(etc[^ ]*)? |ON_SHUTDOWN=|^$blank*(auto_shutdown_|(user|group)$blank*=)"
at_shutdown=libvirt-guests
well_known="/boot/grub2/grubenv /etc/default/$at_shutdown /etc/sysconfig/$at_shutdown /proc/self/mounts /etc/os-release \
/usr/lib/libvirt/$at_shutdown.sh /usr/libexec/$at_shutdown.sh $qemu_conf"

monitors() {
    begin 'virtual machine monitors'
    flush
    for program in qemu-system-x86_64 qemu-system-i386 qemu-system-s390x qemu-system-ppc64 qemu-system-aarch64 \
        qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt openvmm krunvm /usr/libexec/qemu-kvm; do command -v "$program"; done
    end ok
}

# The rules that give /dev/kvm its mode and group when udev next handles it, what loads the module at boot beside udev,
# and the number of the group.
rules() {
    begin 'udev rules of kvm'
    flush
    grep -sE '"kvm"|^kvm' /*/udev/rules.d/* /*/lib/udev/rules.d/* /etc/modules /*/modules-load.d/* /*/lib/modules-load.d/* /etc/group
    end ok
}

# libvirt's cached capabilities of each QEMU: of 200 kB only whether KVM exposes the flag, and when they are outdated.
libvirts_memory() {
    names "$memory"
    present "^ *(<(emulator|qemuctime|selfvers|kernelVersion|arch)>|<flag name='kvm'/>|</?hostCPU|<property name='(svm|vmx(-.*true)?)'|<kvmSupportsNesting/>)" "$memory"/*.xml
}

# When the inode of the emulator last changed that a file of this cache names.
changed_at() {
    emulator=/${lines#*"<emulator>/"}
    emulator=${emulator%%"$newline"*}
    case ${emulator%"</emulator>"} in
        "$emulator" | *[\<\&]*) ;;
        *[!A-Za-z0-9_./+-]*) run stat -L -c %Z "${emulator%<*}" ;;
        *) to_run="${to_run}stat -L -c %Z ${emulator%<*}$newline" ;;
    esac
}

lacks_libvirt() {
    [ ! -e "$qemu_conf" ] && missing "$qemu_conf" && [ "$state" = absent ]
}

account() { case $1 in '' | -* | *[!A-Za-z0-9_.@-]*) ;; *) to_run="${to_run}id $1$newline" ;; esac; }

# Sets $value: the last value of a setting in the lines of qemu.conf; `+` marks a number.
for_qemu() {
    wanted=$1
    value=
    set -f
    IFS=$newline
    for line in $lines; do
        unset IFS
        # shellcheck disable=SC2086  # words
        set -- ${line%%=*}
        [ "$*" = "$wanted" ] || continue
        # shellcheck disable=SC2086  # words
        set -- ${line#*=}
        value=${1#[!A-Za-z0-9_.+-]}
        value=${value#+}
        value=${value%%[!A-Za-z0-9_.-]*}
    done
    unset IFS
    set +f
}

# The next boot's command line, in the boot loaders' files; grub's may also contain a password.
boot() {
    [ -f /etc/default/grub ] || settings "$grub" /etc/default/grub
    names /etc/default/grub.d
    present "$grub" /etc/default/grub /etc/default/grub.d/*.cfg
    present "^$blank*(linux|set (kernelopts|tuned_params)=)" /boot/grub*/grub.cfg
    file /etc/kernel/cmdline
    names /boot/loader/entries
    set --
    for esp in $esps; do set -- "$@" "$esp"/loader/entries/*.conf; done
    present "^options$blank" "$@"
    begin 'ESP kernel images'
    state=ok
    for esp in $esps; do
        [ ! -d "$esp" ] || [ -x "$esp" ] || state=unreadable
        for entry in "$esp"/EFI/Linux/*.efi; do [ ! -f "$entry" ] || say "$entry"; done
    done
    end "$state"
}
