# What kmod would do, what a shutdown does to guests, and which accounts may open /dev/kvm: $1 as well.
commands() {
    vendor_module
    set -- "$1" 'uname -m' id 'ls -l /proc/self/ns' 'getfacl -cnp /dev/kvm' 'modprobe --version' "systemctl is-enabled $at_shutdown"
    lacks_libvirt || set -- "$@" 'id libvirt-qemu' 'id qemu'
    [ -z "$module" ] || set -- "$@" "modprobe --show-depends $module" "modinfo --parameters $module"
    if is_account "$1"; then set -- "$@" "id $1"; fi
    shift
    together "$@"
}

# The parameters of every module that kmod would load, by its answer in $answer; empty where `together` fell back.
parameters() {
    begin 'modinfo of every module'
    set --
    set -f
    for words in $answer; do
        case $words in /*.ko | /*.ko.*) set -- "$@" "$words" ;; esac
    done
    set +f
    if [ $# -eq 0 ]; then end absent; else answer modinfo "$@"; fi
}

main() {
    nonce=${1:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$$-$(date +%s)")}
    seconds=${2:-10}
    again=
    frames=0
    said="@$nonce nested-kvm-probe 1$newline"
    commands "${5:-}"
    parameters
    measure
    # shellcheck disable=SC2086  # words
    file $kernel
    changelog
    cpu
    modules
    trees
    node /dev/kvm
    # shellcheck disable=SC2086  # words
    file $firmware_files
    kmod
    # shellcheck disable=SC2086  # words
    file $mitigation_files
    boot
    monitors
    rules
    well_known_settings
    libvirts_memory
    accounts
    matching 'kvm|svm|vmx|vboxdrv|vmmon|encryption f' dmesg
    vmms
    vm_holders
    twice nested_runs
    libvirt "${3:-never}" "${4:-qemu:///system}"
    say "@$nonce done"
    flush
}

main "$@" </dev/null
