qemu_conf=/etc/libvirt/qemu.conf
memory=/var/cache/libvirt/qemu/capabilities
blank='[[:blank:]]'
esps='/boot /efi /boot/efi'
grub_file=/etc/default/grub
grub="^[^#]*GRUB_CMDLINE|^([^#=]*[;&|!({[:blank:]])?(\.|source|if|case|for|while|\[|test|eval)$blank"
sought="^(kernelopts|tuned_params|(saved|next)_entry|(VARIANT_|IMAGE_)?ID)=|^[^# ]+ /(etc[^ ]*)? |ON_SHUTDOWN=|^$blank*(auto_shutdown_|(user|group)$blank*=)"
at_shutdown=libvirt-guests
well_known="/boot/grub2/grubenv /etc/default/$at_shutdown /etc/sysconfig/$at_shutdown /proc/self/mounts /etc/os-release \
/usr/lib/libvirt/$at_shutdown.sh /usr/libexec/$at_shutdown.sh $qemu_conf"

all_monitors() {
    begin_frame 'virtual machine monitors'
    print_said
    for program in qemu-system-x86_64 qemu-system-i386 qemu-system-s390x qemu-system-ppc64 qemu-system-aarch64 \
        qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt openvmm krunvm /usr/libexec/qemu-kvm; do command -v "$program"; done
    end ok
}

# The rules that give /dev/kvm its mode and group when udev next handles it, what loads the module at boot beside udev,
# and the number of the group.
rules_of_udev() {
    begin_frame 'udev rules of kvm'
    print_said
    grep -sE '"kvm"|^kvm' /*/udev/rules.d/* /*/lib/udev/rules.d/* /etc/modules /*/modules-load.d/* /*/lib/modules-load.d/* /etc/group
    end ok
}

# libvirt's cached capabilities of each QEMU: of 200 kB only whether KVM exposes the flag, and when they are outdated.
libvirts_memory() {
    names_of "$memory"
    settings_where_present "^ *(<(emulator|qemuctime|selfvers|kernelVersion|arch)>|<flag name='kvm'/>|</?hostCPU|<property name='(svm|vmx(-.*true)?)'|<kvmSupportsNesting/>)" "$memory"/*.xml
}

# When the inode of the emulator last changed that a file of this cache names.
changed_at() {
    emulator=/${lines#*"<emulator>/"}
    emulator=${emulator%%"$newline"*}
    case ${emulator%"</emulator>"} in
        "$emulator" | *[\<\&]*) ;;
        *[!A-Za-z0-9_./+-]*) run stat -L -c %Z "${emulator%<*}" ;;
        *) to_run "stat -L -c %Z ${emulator%<*}" ;;
    esac
}

# Where systemd was booted, and no file of its search path is named so, systemctl has nothing to answer.
unit_of_guests() {
    state=absent
    for path in /etc /run /lib /usr/lib; do [ -r "$path/systemd" ] && [ -x "$path/systemd/system" ] || state=; done
    # shellcheck disable=SC2231  # one word
    for path in /etc/init.d/$at_shutdown /*/systemd/*/$at_shutdown.* /usr/lib/systemd/*/$at_shutdown.* \
        /usr/local/lib/systemd/*/$at_shutdown.*; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || state=
    done
    if [ "$state" ]; then begin_frame "systemctl is-enabled $at_shutdown"; end absent
    else to_run "systemctl is-enabled $at_shutdown"
    fi
}

lacks_libvirt() {
    [ ! -e "$qemu_conf" ] && missing "$qemu_conf" && [ "$state" = absent ]
}

account_of() { case $1 in '' | -* | *[!A-Za-z0-9_.@-]*) ;; *) to_run "id $1" ;; esac; }

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

# The next boot's command line, in the boot loaders' files; grub's may also contain a password. What ostree has staged gets
# its entry when the machine is shut down.
boot() {
    [ -f "$grub_file" ] || settings_in "$grub" "$grub_file"
    names_of "$grub_file.d"
    settings_where_present "$grub" "$grub_file" "$grub_file".d/*.cfg
    settings_where_present "^$blank*(linux|set (kernelopts|tuned_params|extra_cmdline)=)" /boot/grub*/grub.cfg
    file /etc/kernel/cmdline
    names_of /boot/loader/entries
    set --
    for esp in $esps; do set -- "$@" "$esp"/loader/entries/*.conf; done
    settings_where_present "^$blank*options$blank" "$@"
    begin_frame 'ESP kernel images'
    state=ok
    for esp in $esps; do
        [ ! -d "$esp" ] || [ -x "$esp" ] || state=unreadable
        for entry in /run/ostree/staged-d* "$esp"/EFI/Linux/*.efi; do [ ! -f "$entry" ] || say "$entry"; done
    done
    end "$state"
}
