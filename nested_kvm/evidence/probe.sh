#!/bin/sh
# The probe: prints every raw reading of one machine in one framed answer. Read-only: it writes no file,
# starts nothing that stays, asks nothing. POSIX sh only; runs in dash, bash, ksh and busybox.
#
#   sh probe.sh [NONCE [SECONDS [VIRSH [URI]]]]
#
#   NONCE    marks the frames, so that no file's content can pass for one (default: a random one)
#   SECONDS  after which a single command is killed (default 10)
#   VIRSH    always | fallback | never: ask virsh too; fallback: only where libvirt's RPC has no way in
#   URI      libvirt's, for virsh (default qemu:///system)

export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
newline='
'

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end %s\n' "$nonce" "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

choose_limiter() {
    if found timeout && timeout -s KILL 1 true 2>/dev/null; then
        limited() { timeout -s KILL "$seconds" "$@"; }
    else
        limited() { watched "$@"; }
    fi
}

# Where there is no timeout(1): a watchdog that ends with what it watches, and holds no pipe open. Told to end before
# it sleeps, it must not sleep at all: then $! is still the job.
watched() {
    "$@" &
    job=$!
    (
        trap '[ "$!" = "$job" ] || kill -KILL "$!"; exit' TERM
        sleep "$seconds" &
        wait "$!" && kill -KILL "$job"
    ) >/dev/null 2>&1 &
    watchdog=$!
    wait "$job" 2>/dev/null
    status=$?
    kill "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    return "$status"
}

# absent, or unreadable where a parent directory does not let us look.
missing() {
    parent=${1%/*}
    while [ -n "$parent" ] && [ ! -d "$parent" ]; do parent=${parent%/*}; done
    if [ -x "${parent:-/}" ]; then echo absent; else echo unreadable; fi
}

pointing() {
    [ -L "$1" ] || return 0
    to=$(readlink "$1") || return 0
    case $to in *"$newline"*) ;; *) printf ' -> %s' "$to" ;; esac
}

file() {
    for source do
        begin "$source"
        if [ -f "$source" ]; then
            if [ -r "$source" ] && cat "$source" 2>/dev/null; then state=ok; else state=unreadable; fi
        elif [ -d "$source" ]; then state=directory
        elif [ -c "$source" ] || [ -b "$source" ]; then state=device
        elif [ -e "$source" ]; then state=special
        elif [ -L "$source" ]; then state=dangling
        else state=$(missing "$source")
        fi
        end "$state$(pointing "$source")"
    done
}

# Only the lines of a file that match: what else stands in it may be secret.
settings() {
    pattern=$1
    begin "$2"
    if [ ! -f "$2" ]; then end "$(missing "$2")"; return; fi
    grep -E "$pattern" "$2" 2>/dev/null
    if [ "$?" -le 1 ]; then end ok; else end unreadable; fi
}

# What a node is, not what it holds.
node() {
    begin "$1"
    if [ -e "$1" ]; then
        if ls -ldLn "$1" 2>/dev/null; then end "ok$(pointing "$1")"; else end unreadable; fi
    elif [ -L "$1" ]; then end "dangling$(pointing "$1")"
    else end "$(missing "$1")"
    fi
}

# The names in a directory, one a line. A name with a newline in it is no name that anything reads.
names() {
    begin "$1"
    if [ ! -d "$1" ]; then end "$(missing "$1")"
    elif [ ! -r "$1" ] || [ ! -x "$1" ]; then end unreadable
    else
        for entry in "$1"/* "$1"/.[!.]*; do
            case $entry in *"$newline"*) continue ;; esac
            if [ -e "$entry" ] || [ -L "$entry" ]; then printf '%s\n' "${entry##*/}"; fi
        done
        end ok
    fi
}

# Small files of one value each: `name=value` a line, `name!` where it cannot be read.
values() {
    begin "$1"
    if [ ! -d "$1" ]; then end "$(missing "$1")"; return; fi
    for entry in "$1"/*; do
        if [ ! -f "$entry" ]; then continue; fi
        value=
        if [ -r "$entry" ] && { IFS= read -r value <"$entry" || [ -n "$value" ]; } 2>/dev/null; then
            printf '%s=%s\n' "${entry##*/}" "$value"
        else
            printf '%s!\n' "${entry##*/}"
        fi
    done
    end ok
}

run() {
    begin "$*"
    if found "$1"; then limited "$@" </dev/null 2>&1; end "exit $?"; else end missing; fi
}

# Only the lines that match: of a command whose whole answer is large.
matching() {
    pattern=$1
    shift
    begin "$*"
    if ! found "$1"; then end missing; return; fi
    answer=$(limited "$@" </dev/null 2>&1)
    status=$?
    if [ "$status" -eq 0 ]; then
        printf '%s\n' "$answer" | grep -iE "$pattern" | tail -n 400
    else
        printf '%s\n' "$answer" | tail -n 5
    fi
    end "exit $status"
}

cpu() {
    begin /proc/cpuinfo
    if grep -E '^(processor|vendor_id|cpu family|model|model name|flags|vmx flags|features|Features|cpu|platform)[[:blank:]0-9]*[:=]' \
        /proc/cpuinfo 2>/dev/null; then end ok; else end unreadable; fi
}

vendor_module() {
    vendor=$(grep -m1 '^vendor_id' /proc/cpuinfo 2>/dev/null)
    case $vendor in
        *GenuineIntel* | *CentaurHauls* | *Shanghai*) echo kvm_intel ;;
        *AuthenticAMD* | *HygonGenuine*) echo kvm_amd ;;
        *IBM/S390*) echo kvm ;;
        *) if grep -q '^platform.*\(pSeries\|PowerNV\)' /proc/cpuinfo 2>/dev/null; then echo kvm_hv; fi ;;
    esac
}

modules() {
    begin /sys/module
    for path in /sys/module/kvm* /sys/module/vbox* /sys/module/vmmon; do
        if [ -d "$path" ]; then printf '%s\n' "${path##*/}"; fi
    done
    if [ -d /sys/module ]; then end ok; else end "$(missing /sys/module)"; fi
    for path in /sys/module/kvm*; do
        if [ ! -d "$path" ]; then continue; fi
        values "$path"
        values "$path/parameters"
    done
}

kmod() {
    for directory in /etc/modprobe.d /run/modprobe.d /usr/local/lib/modprobe.d /usr/lib/modprobe.d /lib/modprobe.d; do
        names "$directory"
        for path in "$directory"/* "$directory"/.[!.]*; do
            case $path in *"$newline"*) continue ;; esac
            if [ -e "$path" ] || [ -L "$path" ]; then file "$path"; fi
        done
    done
    run modprobe --version
    module=$(vendor_module)
    if [ -z "$module" ]; then return; fi
    run modprobe --show-depends "$module"
    run modinfo --parameters "$module"
}

# The processes that are VMMs. Of their arguments only what is judged leaves the machine, each a line of its own.
vmms() {
    begin '/proc/[0-9]*/cmdline'
    grep -lsE '(^|/)(qemu-system-|qemu-kvm|kvm|cloud-hypervisor|firecracker|crosvm)' /proc/[0-9]*/cmdline |
        while IFS= read -r path; do vmm "$path"; done
    if [ -r /proc/1/cmdline ]; then end ok; else end unreadable; fi
}

vmm() {
    pid=${1#/proc/}
    pid=${pid%/cmdline}
    tr '\000\001-\037\177' '\n?' 2>/dev/null <"$1" | {
        IFS= read -r program || exit 0
        program=${program##*/}
        case $program in
            *[!A-Za-z0-9_.-]*) exit 0 ;;
            qemu-system-* | qemu-kvm | kvm | cloud-hypervisor | firecracker | crosvm) ;;
            *) exit 0 ;;
        esac
        printf '%s program=%s\n' "$pid" "$program"
        while IFS= read -r option; do
            case $option in
                -enable-kvm | --enable-kvm) printf '%s enable-kvm=on\n' "$pid"; continue ;;
                -name | --name | -uuid | --uuid | -cpu | --cpu | -accel | --accel | -machine | --machine | -M | --M) ;;
                *) continue ;;
            esac
            option=${option#-}
            value=
            if IFS= read -r value || [ -n "$value" ]; then printf '%s %s=%s\n' "$pid" "${option#-}" "$value"; fi
        done
    }
}

# The processes that hold a VM of KVM. Without the right to look into all of them the answer is not whole.
vm_holders() {
    begin 'ls -lq /proc/[0-9]*/fd'
    quoting=-lq # busybox knows no -q, and masks control characters without it
    limited ls -lq / >/dev/null 2>&1 || quoting=-l
    holders=$({ limited ls "$quoting" /proc/[0-9]*/fd 2>/dev/null; echo "exit $?"; } |
        grep -E '^/proc/[0-9]+/fd:$|^[^>]*-> anon_inode:kvm-vm$|^exit (124|137)$' |
        while IFS= read -r line; do
            case $line in
                /proc/1/fd:) pid=1; echo listed ;;
                /proc/*) pid=${line#/proc/} ;;
                exit*) echo killed ;;
                *) printf '%s\n' "${pid%/fd:}" ;;
            esac
        done)
    printf '%s\n' "${holders#listed}"
    set -- /proc/1/fd/*
    case $holders in
        *killed*) end timed-out ;;
        *listed*) if [ -L "$1" ]; then end ok; else end unreadable; fi ;;
        *) end unreadable ;;
    esac
}

# How often each VM entered a guest of its own, and which vCPU is in one now.
nested_runs() {
    begin "/sys/kernel/debug/kvm$1"
    if [ ! -d /sys/kernel/debug/kvm ]; then end "$(missing /sys/kernel/debug/kvm)"; return; fi
    for vm in /sys/kernel/debug/kvm/[0-9]*-[0-9]*; do
        for path in "$vm/nested_run" "$vm"/vcpu[0-9]*/guest_mode; do
            value=
            if [ -r "$path" ]; then IFS= read -r value <"$path"; fi 2>/dev/null
            if [ -n "$value" ]; then printf '%s=%s\n' "${path#/sys/kernel/debug/kvm/}" "$value"; fi
        done
    done
    end ok
}

domain_statistics() {
    begin "virsh -r -c $uri domstats --vcpu --list-active --nowait$1"
    answer=$(limited virsh -r -c "$uri" domstats --vcpu --list-active --nowait 2>&1 </dev/null)
    status=$?
    if [ "$status" -eq 0 ]; then
        printf '%s\n' "$answer" | grep -E '^Domain: |vcpu\.(current|[0-9]+\.(nested_run\.sum|guest_mode\.cur))='
    fi
    end "exit $status"
}

# Counters tell by how they change: where any is not 0 they are read again after a second.
twice() {
    first=$("$1" '')
    printf '%s\n' "$first"
    case $first in
        *nested_run=[1-9]* | *nested_run.sum=[1-9]*) sleep 1; "$1" '  # again' ;;
    esac
}

domains() {
    uri=$1
    begin "virsh -r -c $uri list --all --uuid"
    if ! found virsh; then end missing; return; fi
    uuids=$(limited virsh -r -c "$uri" list --all --uuid </dev/null 2>&1)
    status=$?
    printf '%s\n' "$uuids"
    end "exit $status"
    if [ "$status" -ne 0 ]; then return; fi
    for uuid in $uuids; do
        case $uuid in *[!0-9a-fA-F-]*) continue ;; ????????-????-????-????-????????????) ;; *) continue ;; esac
        run virsh -r -c "$uri" dominfo "$uuid"
        run virsh -r -c "$uri" dumpxml --inactive "$uuid"
        run virsh -r -c "$uri" dumpxml "$uuid"
    done
    twice domain_statistics
}

libvirt() {
    case $1 in
        always) domains "$2" ;;
        fallback) if ! found virt-ssh-helper && ! found nc; then domains "$2"; fi ;;
    esac
}

monitors() {
    begin 'virtual machine monitors'
    for program in qemu-system-x86_64 qemu-system-i386 qemu-kvm kvm cloud-hypervisor firecracker crosvm lkvm stratovirt \
        /usr/libexec/qemu-kvm; do command -v "$program"; done
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

main() {
    nonce=${1:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$$-$(date +%s)")}
    seconds=${2:-10}
    printf '@%s nested-kvm-probe 1\n' "$nonce"
    choose_limiter
    run uname -m
    run id -u
    file /proc/sys/kernel/osrelease /proc/cmdline /etc/os-release
    cpu
    modules
    node /dev/kvm
    file /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name /sys/class/dmi/id/product_uuid
    kmod
    file /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf
    boot
    monitors
    shutdown
    matching 'kvm|svm|vmx|vboxdrv|vmmon' dmesg
    vmms
    vm_holders
    twice nested_runs
    libvirt "${3:-never}" "${4:-qemu:///system}"
    printf '@%s done\n' "$nonce"
}

main "$@" </dev/null
