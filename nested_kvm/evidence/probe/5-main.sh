main() {
    nonce=${1:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$$-$(date +%s)")}
    seconds=${2:-10}
    again=
    frames=0
    said="@$nonce nested-kvm-probe 1$newline"
    machine
    run id -u
    measure
    # shellcheck disable=SC2086  # words
    file $kernel
    cpu
    modules
    node /dev/kvm
    # shellcheck disable=SC2086  # words
    file $firmware
    kmod
    # shellcheck disable=SC2086  # words
    file $mitigations
    boot
    monitors
    shutdown
    libvirts_memory
    accounts "${5:-}"
    matching 'kvm|svm|vmx|vboxdrv|vmmon' dmesg
    vmms
    vm_holders
    twice nested_runs
    libvirt "${3:-never}" "${4:-qemu:///system}"
    say "@$nonce done"
    print_said
}

main "$@" </dev/null
