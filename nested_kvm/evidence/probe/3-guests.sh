# The processes that are VMMs. Of their arguments only what controls evaluate leaves the machine, one a line.
vmms() {
    begin_frame '/proc/[0-9]*/cmdline'
    # shellcheck disable=SC2013  # words
    for path in $(grep -lsE '(^|/)(qemu-system-|(qemu-|l)?kvm|cloud-hyp|firecr|crosvm|strato|openvmm|krun)' /proc/[0-9]*/cmdline); do
        vmm "$path"
    done
    if [ -r /proc/1/cmdline ]; then end ok; else end unreadable; fi
}

vmm() {
    pid=${1#/proc/}
    pid=${pid%/cmdline}
    : "${unit:=$(printf '\037')}"
    words=$(tr '\000\001-\037\177' '\037?' 2>/dev/null <"$1")
    # What nothing ends can be a value, and is no option.
    unended=1
    case $words in *"$unit") unended=0 ;; esac
    set -f
    IFS=$unit
    # shellcheck disable=SC2086  # an argument each
    set -- $words
    unset IFS
    set +f
    if [ $# -gt "$unended" ]; then judged "$@"; fi
}

judged() {
    program=${1##*/}
    case $program in
        *[!A-Za-z0-9_.+-]*) return ;;
        qemu-system-* | qemu-kvm | kvm | kvm-spice | lkvm | cloud-hyp* | firecr* | crosvm | strato* | openvmm | krun*) ;;
        *) return ;;
    esac
    say "$pid program=$program"
    shift
    while [ $# -gt "$unended" ]; do
        case $1 in
            --*) option=${1#--} ;;
            -*) option=${1#-} ;;
            *) option= ;;
        esac
        shift
        case $option in
            enable-kvm) say "$pid enable-kvm=on" ;;
            name | uuid | cpu | cpus | platform | api-socket | accel | machine | M)
                [ $# -gt 0 ] || return
                say "$pid $option=$1"
                shift ;;
            global)
                value=${1##*driver=}
                case ${value%%[.,]*} in cpu | *-cpu) say "$pid global=$1" ;; esac ;;
            # Proxmox starts each guest with a file of its package; any other path stays here. Of the file that Incus
            # writes the groups are printed that may change the CPU, and at last that it was read.
            readconfig)
                say "$pid readconfig=${1#"${1#/usr/share/qemu-server/}"}"
                case $1 in
                    *..*) ;;
                    /run/incus/*/qemu.conf)
                        # shellcheck disable=SC3013  # dash, bash, ksh and busybox know -ef
                        [ -f "$1" ] && [ "/proc/$pid/ns/mnt" -ef /proc/self/ns/mnt ] && say_any "$(awk -v "p=$pid" "$groups" "$1")" ;;
                esac ;;
        esac
    done
} 2>/dev/null

# Those of any other first letters are about devices, memory and the like (`qemu -readconfig`). No path outside
# /run/incus is read, however it is written.
# shellcheck disable=SC2016  # for awk
groups='/^[[]/{s=!/^.([bdfnorstv]|ch|me|mo)/}1e3<length(){print p" config=?"}(s||/driver.*-cpu/)&&/^[^#]/{print p" config="$0}END{if(NR)print p" config-read="NR}'

# The processes that hold a VM of KVM. Without the right to look into all of them the answer is not whole.
vm_holders() {
    begin_frame 'ls -lq /proc/[0-9]*/fd'
    if ! kvm_is_used; then say 'no module of KVM is in use'; end ok; return; fi
    # busybox knows no -q, and masks control characters without it.
    listed=$(list_fds -nlq)
    [ -n "$listed" ] || listed=$(list_fds -nl)
    held=
    set -f
    IFS=$newline
    for line in $listed; do
        case $line in
            /proc/1/fd:) pid=1; held=${held}listed$newline ;;
            /proc/*) pid=${line#/proc/} ;;
            *) held=$held${pid%/fd:}$newline ;;
        esac
    done
    unset IFS
    set +f
    held=${held%"$newline"}
    say "${held#listed}"
    set -- /proc/1/fd/*
    case $held in
        *listed*) if [ -L "$1" ]; then end ok; else end unreadable; fi ;;
        *) end unreadable ;;
    esac
}

# The module that knows the CPU owns the files of a VM: as long as one is open, that module is in use (kvm_main.c).
kvm_is_used() {
    for path in /sys/module/kvm_*; do
        count=
        if [ -r "$path/refcnt" ]; then read -r count <"$path/refcnt"; fi 2>/dev/null
        [ "$count" = 0 ] || return 0
    done
    return 1
}

# shellcheck disable=SC2010  # no name is hostile there, and the links are what is looked for
list_fds() { ls "$1" /proc/[0-9]*/fd 2>/dev/null | grep -E '^/proc/[0-9]+/fd:$|^[^>]*-> anon_inode:kvm-vm$'; }

# How often each VM entered a nested guest, and which vCPU is in one now.
nested_runs() {
    vms=/sys/kernel/debug/kvm
    begin_frame "$vms$again"
    if [ ! -d "$vms" ]; then says_lacking "$vms"; return; fi
    for vm in "$vms"/[0-9]*-[0-9]*; do
        for path in "$vm/nested_run" "$vm"/vcpu[0-9]*/guest_mode; do
            value=
            if [ -r "$path" ]; then IFS= read -r value <"$path"; fi 2>/dev/null
            [ -z "$value" ] || say_counted "${path#"$vms"/}=$value"
        done
    done
    end ok
}

domain_runs() {
    ask domstats --vcpu --list-active --nowait
    if [ "$status" -eq 0 ]; then
        say_counted "$(raw "$answer" | grep -E '^Domain: |vcpu\.(current|[0-9]+\.(nested_run\.sum|guest_mode\.cur))=')"
    fi
    end "exit $status"
}

say_counted() {
    say_any "$1"
    case $1 in *nested_run=[1-9]* | *nested_run.sum=[1-9]*) entered=yes ;; esac
}

# What matters is how counters change: where any is not 0 they are read again after a second.
twice() {
    entered=
    "$1"
    [ -n "$entered" ] || return
    sleep 1
    again='  # again'
    "$1"
    again=
}

# Keeps what virsh says, and its exit status.
ask() {
    begin_frame "virsh -r -c $uri $*$again"
    answer=$(within_limit virsh -r -c "$uri" "$@" 2>&1)
    status=$?
}

tell() {
    ask "$@"
    say "$answer"
    end "exit $status"
}

query() { run virsh -r -c "$uri" "$@"; }

# Prints what virsh lists, and keeps the uuids in it.
list_domains() {
    uuids=
    tell list --all --uuid "$@"
    for uuid in $answer; do
        case $uuid in *[!0-9a-fA-F-]*) ;; ????????-????-????-????-????????????) uuids="$uuids $uuid" ;; esac
    done
    return "$status"
}

all_domains() {
    uri=$1
    if ! is_found virsh; then query list --all --uuid; return; fi
    list_domains || return
    for uuid in $uuids; do
        query dominfo "$uuid"
        query dumpxml --inactive "$uuid"
        query dumpxml "$uuid"
    done
    twice domain_runs
    query version --daemon
    query capabilities
    if list_domains --with-managed-save; then
        for uuid in $uuids; do query managedsave-dumpxml "$uuid"; done
    fi
    saved_snapshots
}

# The snapshots with memory, of one domain 50 and of all 100.
saved_snapshots() {
    left=100
    list_domains --with-snapshot || return
    for uuid in $uuids; do
        tell snapshot-list --active --name "$uuid"
        if [ "$status" -ne 0 ] || [ "$left" -eq 0 ]; then continue; fi
        chosen=$(raw "$answer" | head -n "$((left < 50 ? left : 50))")
        print_said
        raw "$chosen" | {
            while IFS= read -r name; do
                [ -z "$name" ] || query snapshot-dumpxml "$uuid" "--snapshotname=$name"
            done
            print_said
        }
        left=$((left - $(raw "$chosen" | grep -c .)))
    done
}

libvirt() {
    case $1 in
        always) all_domains "$2" ;;
        fallback) if ! is_found virt-ssh-helper && ! is_found nc; then all_domains "$2"; fi ;;
    esac
}

