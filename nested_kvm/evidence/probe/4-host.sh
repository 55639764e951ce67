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
    ! found cloud-hypervisor || run cloud-hypervisor --version
}

# One grep for all of them. Where it cannot read one, or considers it binary, each file has its own.
well_known_settings() {
    set -- /dev/null
    for path in $well_known; do [ ! -f "$path" ] || set -- "$@" "$path"; done
    all_lines=$(grep -E "$sought" "$@" 2>&1)
    [ "$?" -le 1 ] || all_lines='inary file '
    for path in $well_known; do
        case $all_lines in *'inary file '*) settings "$sought" "$path"; continue ;; esac
        begin "$path"
        lines_of "$path"
        say_any "$lines"
        case " $* " in *" $path "*) end ok ;; *) lacks "$path" ;; esac
    done
    for_qemu=$lines
}

# Sets $lines: those of $all_lines that belong to one file.
lines_of() {
    lines=
    set -f
    IFS=$newline
    for line in $all_lines; do
        case $line in "$1:"*) lines=$lines${lines:+$newline}${line#"$1:"} ;; esac
    done
    unset IFS
    set +f
}

# libvirt's cached capabilities of each QEMU: of 200 kB only whether KVM exposes the flag, and when they are outdated.
libvirts_memory() {
    names "$memory"
    for path in "$memory"/*.xml; do
        [ -f "$path" ] || continue
        settings "^ *(<(emulator|qemuctime|selfvers|kernelVersion|arch)>|<flag name='kvm'/>|</?hostCPU|<property name='(svm|vmx(-.*true)?)'|<kvmSupportsNesting/>)" "$path"
        emulator=$(sed -n 's:^ *<emulator>\(/[^<&]*\)</emulator>$:\1:p' "$path" 2>/dev/null)
        emulator=${emulator%%"$newline"*}
        [ -z "$emulator" ] || run stat -L -c %Z "$emulator"
    done
}

# The accounts that run VMs by qemu.conf.
accounts() {
    qemu_conf user
    account "$value"
    qemu_conf group
    [ -z "$value" ] || run getent group "$value"
}

lacks_libvirt() {
    [ ! -e "$qemu_conf" ] && missing "$qemu_conf" && [ "$state" = absent ]
}

is_account() { case $1 in '' | -* | *[!A-Za-z0-9_.@-]*) return 1 ;; esac; }

account() { if is_account "$1"; then run id "$1"; fi; }

# Sets $value: the last value of a setting in qemu.conf; `+` marks a number.
qemu_conf() {
    value=
    [ -n "$for_qemu" ] || return
    value=$(sed -n "s/^$blank*$1$blank*=$blank*[^A-Za-z0-9_.+-]\{0,1\}+\{0,1\}\([A-Za-z0-9_.-]*\).*/=\1/p" \
        "$qemu_conf" 2>/dev/null)
    value=${value##*=}
}

# The next boot's command line, in the boot loaders' files; grub's may also contain a password.
boot() {
    settings "$grub" /etc/default/grub
    names /etc/default/grub.d
    present "$grub" /etc/default/grub.d/*.cfg
    present "^$blank*(linux|set (kernelopts|tuned_params)=)" /boot/grub*/grub.cfg
    file /etc/kernel/cmdline
    names /boot/loader/entries
    for esp in $esps; do present "^options$blank" "$esp"/loader/entries/*.conf; done
    begin 'ESP kernel images'
    state=ok
    for esp in $esps; do
        [ ! -d "$esp" ] || [ -x "$esp" ] || state=unreadable
        for entry in "$esp"/EFI/Linux/*.efi; do [ ! -f "$entry" ] || say "$entry"; done
    done
    end "$state"
}
