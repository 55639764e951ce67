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

# Prints what virsh lists, and keeps the uuids in it.
list_domains() {
    uuids=
    begin "virsh -r -c $uri list --all --uuid${1:+ $1}"
    if ! found virsh; then end missing; return 1; fi
    answer=$(limited virsh -r -c "$uri" list --all --uuid "$@" </dev/null 2>&1)
    status=$?
    printf '%s\n' "$answer"
    end "exit $status"
    for uuid in $answer; do
        case $uuid in *[!0-9a-fA-F-]*) ;; ????????-????-????-????-????????????) uuids="$uuids $uuid" ;; esac
    done
    return "$status"
}

domains() {
    uri=$1
    if ! list_domains; then return; fi
    for uuid in $uuids; do
        run virsh -r -c "$uri" dominfo "$uuid"
        run virsh -r -c "$uri" dumpxml --inactive "$uuid"
        run virsh -r -c "$uri" dumpxml "$uuid"
    done
    twice domain_statistics
    run virsh -r -c "$uri" version --daemon
    run virsh -r -c "$uri" capabilities
    managed_saves
    snapshots
}

managed_saves() {
    if ! list_domains --with-managed-save; then return; fi
    for uuid in $uuids; do run virsh -r -c "$uri" managedsave-dumpxml "$uuid"; done
}

# The snapshots with memory, of one domain 50 and of all 100.
snapshots() {
    left=100
    if ! list_domains --with-snapshot; then return; fi
    for uuid in $uuids; do
        begin "virsh -r -c $uri snapshot-list --active --name $uuid"
        listed=$(limited virsh -r -c "$uri" snapshot-list --active --name "$uuid" </dev/null 2>&1)
        status=$?
        printf '%s\n' "$listed"
        end "exit $status"
        if [ "$status" -ne 0 ] || [ "$left" -eq 0 ]; then continue; fi
        if [ "$left" -lt 50 ]; then chosen=$(printf '%s\n' "$listed" | head -n "$left")
        else chosen=$(printf '%s\n' "$listed" | head -n 50)
        fi
        printf '%s\n' "$chosen" | while IFS= read -r name; do
            if [ -n "$name" ]; then run virsh -r -c "$uri" snapshot-dumpxml "$uuid" "--snapshotname=$name"; fi
        done
        left=$((left - $(printf '%s\n' "$chosen" | grep -c .)))
    done
}

libvirt() {
    case $1 in
        always) domains "$2" ;;
        fallback) if ! found virt-ssh-helper && ! found nc; then domains "$2"; fi ;;
    esac
}

