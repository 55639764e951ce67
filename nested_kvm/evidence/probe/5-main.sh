to_run() { commands_to_run=$commands_to_run$1$newline; }

# What kmod would do, what a shutdown does to guests, which accounts may open /dev/kvm ($1 and those of qemu.conf, whose
# lines are in $lines), and the kernel log.
all_commands() {
    vendor_module
    to_run "uname -m${newline}id${newline}ls -l /proc/self/ns${newline}getfacl -cnp /dev/kvm${newline}modprobe --version"
    unit_of_guests
    for_qemu user
    account_of "$value"
    for_qemu group
    [ -z "$value" ] || to_run "getent group $value"
    lacks_libvirt || to_run "id libvirt-qemu${newline}id qemu"
    [ -z "$module" ] || to_run "modprobe --show-depends $module"
    to_run "modinfo of every module"
    [ -z "$module" ] || to_run "modinfo --parameters $module"
    account_of "$1"
    ! is_found cloud-hypervisor || to_run "cloud-hypervisor --version"
    set -f
    IFS=$newline
    # shellcheck disable=SC2086  # a command each
    set -- $commands_to_run dmesg
    unset IFS
    set +f
    run_together "$@"
}

main() {
    nonce=${1:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || echo "$$-$(date +%s)")}
    seconds=${2:-10}
    again=
    frames=0
    said="@$nonce nested-kvm-probe 1$newline"
    commands_to_run=
    libvirts_memory
    # shellcheck disable=SC2086  # words
    settings_in "$sought" $well_known
    all_commands "${5:-}"
    small_files
    # shellcheck disable=SC2086  # words
    file $kernel
    changelog
    cpu
    modules
    all_trees
    node /dev/kvm
    # shellcheck disable=SC2086  # words
    file $firmware_files
    kmod
    # shellcheck disable=SC2086  # words
    file $mitigation_files
    boot
    all_monitors
    rules_of_udev
    vmms
    vm_holders
    twice nested_runs
    libvirt "${3:-never}" "${4:-qemu:///system}"
    say "@$nonce done"
    print_said
}

main "$@" </dev/null
