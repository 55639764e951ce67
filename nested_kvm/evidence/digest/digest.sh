#!/bin/sh
# The readings of a digest: cheap ones, which differ where what the probe reads has changed. In the probe's frames.
# Read-only: it writes no file, leaves no process behind, and never prompts. POSIX sh only.
#
#   NONCE    marks the frames
#   LIBVIRT  yes: libvirt is queried on this machine
#   ACCOUNT  that will run VMs on this machine, where the inventory names one

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
export LC_ALL=C PATH
newline='
'
nonce=$1
libvirt=$2
accounts=$3
blind=
debugfs=/sys/kernel/debug/kvm
qemu_conf=/etc/libvirt/qemu.conf
boot='/proc/sys/kernel/random/boot_id /etc/machine-id /proc/sys/kernel/osrelease /proc/sys/kernel/version /proc/cmdline
/proc/sys/vm/allocate_pgste /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name /sys/class/dmi/id/product_uuid
/sys/devices/system/cpu/online /sys/devices/system/cpu/cpu0/microcode/version
/sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf'
programs='modprobe modinfo systemctl getfacl virsh libvirtd virtqemud qemu-system-x86_64 qemu-system-i386 qemu-system-s390x
qemu-system-ppc64 qemu-system-aarch64 qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt openvmm krunvm
/usr/libexec/qemu-kvm'
virtual_machines='(^|/)(libvirtd|virtqemud|qemu-system-|(qemu-|l)?kvm|cloud-hyp|firecr|crosvm|strato|openvmm|krun)'
# Programs that may be given a path of KVM, such as /sys/module/kvm, and run no VM.
no_vmms='modprobe modinfo kmod getfacl timeout grep sed awk mawk gawk cat tail head less ls stat find sh dash bash sudo sshd'

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end ok\n' "$nonce"; }
is_blind() { [ "$blind" ] || blind=$1; }

# Prints a process with the time at which it started, which its number alone does not identify. False: it has ended.
started() {
    stat=
    [ ! -r "/proc/$1/stat" ] || read -r stat <"/proc/$1/stat"
    [ -d "/proc/$1" ] || return
    # shellcheck disable=SC2086  # fields
    set -- "$1" ${stat##*) }
    printf '%s %s\n' "$1" "${21}"
    [ "${21}" ] || is_blind "when process $1 started cannot be read"
} 2>/dev/null

# Whether a VM may hold the module, as the probe decides it.
kvm_is_used() {
    [ -d /sys/module/kvm ] || return 1
    for path in /sys/module/kvm_*; do
        count=
        if [ -r "$path/refcnt" ]; then read -r count <"$path/refcnt"; fi 2>/dev/null
        [ "$count" = 0 ] || return 0
    done
    return 1
}

# Whether a counter is shown, or nothing else shows it. A kernel that is locked down (Secure Boot) shows it to no one here,
# and libvirt has it from QEMU.
counts() { [ "$libvirt" != yes ] || [ ! -e "$1" ] || read -r count <"$1"; } 2>/dev/null

can_list() { [ -r "$1" ] && [ -x "$1" ]; }

of_boot() {
    begin boot
    # shellcheck disable=SC2086  # words
    grep -H '' $boot 2>&1
    end
}

# Each VM is in debugfs, and how often it entered a guest.
of_kvm() {
    begin KVM
    grep -H '' /proc/sys/kernel/random/boot_id /sys/module/kvm*/* /sys/module/kvm*/parameters/* /sys/kernel/livepatch/*/* \
        /sys/kernel/livepatch/*/parameters/* "$debugfs"/[0-9]*-[0-9]*/nested_run "$debugfs"/[0-9]*-[0-9]*/vcpu[0-9]*/guest_mode 2>&1
    printf '%s\n' /sys/module/kvm* /sys/module/vbox* /sys/module/vmmon* /sys/kernel/livepatch/* "$debugfs"/[0-9]*-[0-9]*
    for path in "$debugfs"/[0-9]*-[0-9]*; do
        vm=${path##*/}
        [ ! -d "$path" ] || started "${vm%%-*}" || is_blind "the process of a VM, ${vm%%-*}, cannot be seen"
        counts "$path/nested_run" || is_blind "how often VM $vm entered a nested guest cannot be read"
    done
    end
    if kvm_is_used && ! can_list "$debugfs"; then is_blind "which VMs run is not known without $debugfs"; fi
}

# Whether a process is one of the programs that run no VM, by both of its names: QEMU takes any as the first by an option.
runs_no_vm() {
    comm=
    words=
    read -r comm <"/proc/$1/comm"
    read -r words <"/proc/$1/cmdline"
    case " $no_vmms " in *" $comm "*) ;; *) return 1 ;; esac
    case $words in "$comm"* | "-$comm"* | /bin/"$comm"* | /sbin/"$comm"* | /usr/bin/"$comm"* | /usr/sbin/"$comm"*) ;; *) return 1 ;; esac
} 2>/dev/null

of_processes() {
    begin processes
    found=$(grep -lsE "$virtual_machines" /proc/[0-9]*/cmdline)
    # It is 2 where a process ended meanwhile.
    [ $? -le 2 ] || is_blind 'the processes cannot be searched'
    for path in $found; do
        pid=${path#/proc/}
        pid=${pid%/cmdline}
        runs_no_vm "$pid" || started "$pid"
    done
    end
    [ -r /proc/1/cmdline ] || is_blind 'the processes of others cannot be seen'
}

# Prints the mounts that count and the sockets on which libvirt listens. Sets $paths, files that other files name, and
# $accounts and $groups: also those of qemu.conf.
of_settings() {
    read -r release </proc/sys/kernel/osrelease
    modules=/lib/modules/$release
    sockets=
    [ "$libvirt" != yes ] || sockets=/proc/net/unix
    paths=
    groups=
    begin 'mounts and sockets'
    # shellcheck disable=SC2086  # a word, or none
    lines=$(grep -HsE "^[^# ]+ /(etc[^ ]*)? | 00010000 .* /(var/)?run/libvirt/(libvirt|virtqemud)-sock|^[[:blank:]]*(user|group)[[:blank:]]*=|(^|/)kvm[^/]*\.ko[^/]*:|<emulator>" \
        /proc/self/mounts $sockets "$qemu_conf" "$modules/modules.dep" /var/cache/libvirt/qemu/capabilities/*.xml)
    set -f
    IFS=$newline
    # shellcheck disable=SC2086  # words
    for line in $lines; do
        unset IFS
        case $line in
            "$modules/"*) depends_on "${line#"$modules/modules.dep:"}" ;;
            "$qemu_conf:"*) for_qemu "${line#"$qemu_conf:"}" ;;
            *'<emulator>'*)
                line=${line#*'<emulator>'}
                paths=$paths${line%%<*}$newline ;;
            /proc/net/unix:*) listens $line ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
    unset IFS
    set +f
    end
    case $lines in */proc/self/mounts:*) ;; *) is_blind '/proc/self/mounts cannot be read' ;; esac
}

# A line of /proc/net/unix: of its fields the inode and the path.
listens() { printf '%s %s\n' "$7" "$8"; }

# A line of modules.dep: the module's file, and those that it needs.
depends_on() {
    # shellcheck disable=SC2086  # words
    set -- ${1%%:*} ${1#*:}
    for path do
        case $path in /*) ;; *) path=$modules/$path ;; esac
        paths=$paths$path$newline
    done
}

for_qemu() {
    value=${1#*=}
    value=${value#"${value%%[!\"[:blank:]]*}"}
    value=${value#+}
    value=${value%%[!A-Za-z0-9_.-]*}
    case $1 in *user*=*) accounts="$accounts $value" ;; *) groups="$groups $value" ;; esac
}

of_accounts() {
    begin accounts
    id 2>&1
    [ ! -d /etc/libvirt ] || accounts="$accounts libvirt-qemu qemu"
    for account in $accounts; do
        case $account in -* | *[!A-Za-z0-9_.@-]*) ;; *) id "$account" 2>&1 ;; esac
    done
    for group in $groups; do getent group "$group" 2>&1; done
    end
}

# When each file last changed, and what it is; a link is followed. The complaint about a file that cannot be found
# differs from that about one in a folder that may not be searched. The last one is always there. The first one did not
# exist before this stat(1): its time is now.
of_files() {
    begin files
    set -f
    IFS=$newline
    # shellcheck disable=SC2046,SC2086  # a path each, and words
    set -- $paths $(unset IFS; for program in $programs; do command -v "$program"; done)
    unset IFS
    set +f
    set -- "$@" /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d \
        /etc/modprobe.d/* /run/modprobe.d/* /usr/local/lib/modprobe.d/* /usr/lib/modprobe.d/* /lib/modprobe.d/* \
        /etc/modprobe.d/.[!.]* /run/modprobe.d/.[!.]* /usr/local/lib/modprobe.d/.[!.]* /usr/lib/modprobe.d/.[!.]* \
        /lib/modprobe.d/.[!.]* \
        /etc/modules /*/modules-load.d/* /*/lib/modules-load.d/* /*/udev/rules.d/* /*/lib/udev/rules.d/* \
        "/lib/modules/$release"/modules.* "/lib/modules/$release/vmlinuz" /lib/modules/*/modules.dep \
        /etc/passwd /etc/group /etc/nsswitch.conf /etc/os-release /dev/kvm \
        /etc/default/grub /etc/default/grub.d /etc/default/grub.d/* /boot/grub*/grub.cfg /boot/grub2/grubenv \
        /etc/kernel/cmdline /boot/loader/entries /boot/loader/entries/* /efi/loader/entries/* \
        /boot/efi/loader/entries/* /boot /efi /boot/efi /boot/EFI/Linux/* /efi/EFI/Linux/* /boot/efi/EFI/Linux/* \
        /run/ostree/staged-d* \
        /usr/share/doc/linux-[im]*-"$release"*/changelog*.gz /var/lib/dpkg/status \
        /var/lib/rpm/Packages* /var/lib/rpm/rpmdb.sqlite /usr/lib/sysimage/rpm/Packages* /usr/lib/sysimage/rpm/rpmdb.sqlite \
        /var/cache/libvirt/qemu/capabilities /var/cache/libvirt/qemu/capabilities/* /etc/default/libvirt-guests \
        /etc/sysconfig/libvirt-guests /usr/lib/libvirt/libvirt-guests.sh /usr/libexec/libvirt-guests.sh \
        /etc/init.d/libvirt-guests /etc/rc?.d/*libvirt-guests /*/systemd/*/libvirt-guests.* \
        /usr/lib/systemd/*/libvirt-guests.* /usr/local/lib/systemd/*/libvirt-guests.* \
        /*/systemd/*/*.wants/libvirt-guests.* /*/systemd/*/*.requires/libvirt-guests.* \
        /usr/lib/systemd/*/*.wants/libvirt-guests.* /usr/local/lib/systemd/*/*.wants/libvirt-guests.* \
        /etc/libvirt/*.conf /etc/libvirt/qemu/*.xml /etc/libvirt/qemu/.[!.]*.xml /run/libvirt/qemu/*.xml \
        /run/libvirt/qemu/.[!.]*.xml /run/libvirt/*-sock* /var/lib/libvirt/qemu/save/* /var/lib/libvirt/qemu/save/.[!.]* \
        /var/lib/libvirt/qemu/snapshot/* /var/lib/libvirt/qemu/snapshot/*/* /var/lib/libvirt/qemu/snapshot/.[!.]*/* \
        /run/incus/*/qemu.conf
    stat -L -c '%Z %Y %s %d %i %f %u %g %z %n' /proc/self/stat "$@" / 2>&1
    end
    links=
    for path do [ ! -L "$path" ] || links=$links$path$newline; done
    set -f
    IFS=$newline
    # shellcheck disable=SC2086  # a path each
    set -- $links
    unset IFS
    set +f
    begin 'links and namespaces'
    stat -c %N "$@" /proc/self/ns/* 2>&1
    end
}

# Of the kernel log the lines that the probe takes, and whether it could be read.
of_kernel_log() {
    begin 'kernel log'
    lines=$({ dmesg 2>&1; printf 'kvm %s\n' $?; } | grep -iE 'kvm|svm|vmx|vboxdrv|vmmon|encryption f')
    # All that a log can hold may be more than an answer may.
    [ ${#lines} -le 100000 ] || lines=$(printf '%s\n' "$lines" | tail -n 400)
    printf '%s\n' "$lines"
    end
}

# Folders of libvirt in which this account must see every file.
needs_libvirts_folders() {
    for path in /etc/libvirt /etc/libvirt/qemu /run/libvirt /run/libvirt/qemu /var/lib/libvirt /var/lib/libvirt/qemu \
        /var/lib/libvirt/qemu/save /var/lib/libvirt/qemu/snapshot; do
        [ ! -d "$path" ] || can_list "$path" || is_blind "this account may not list $path"
    done
}

main() {
    for program in grep stat id; do
        command -v "$program" >/dev/null 2>&1 || is_blind "there is no $program"
    done
    printf '@%s nested-kvm-probe 1\n' "$nonce"
    of_boot
    of_kvm
    of_processes
    of_settings
    of_accounts
    of_files
    of_kernel_log
    [ "$libvirt" != yes ] || needs_libvirts_folders
    begin blind
    printf '%s' "$blind"
    end
    printf '@%s done\n' "$nonce"
}

main </dev/null
