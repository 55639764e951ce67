main() {
    nonce=${1:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$$-$(date +%s)")}
    seconds=${2:-10}
    printf '@%s nested-kvm-probe 1\n' "$nonce"
    choose_limiter
    run uname -m
    run id -u
    file /proc/sys/kernel/osrelease /proc/sys/kernel/version /proc/cmdline /etc/os-release
    cpu
    modules
    node /dev/kvm
    file /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name /sys/class/dmi/id/product_uuid
    kmod
    file /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf
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
    printf '@%s done\n' "$nonce"
}

main "$@" </dev/null
