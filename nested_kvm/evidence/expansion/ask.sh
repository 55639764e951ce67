#!/bin/sh
# Asks this host's libvirt and QEMU what CPU definitions give, and prints the answers in the probe's frames: only
# `--active` runs it. No guest is started, and no file is written. POSIX sh, as the probe.
#
#   sh -s -- NONCE SECONDS translate URI UUID...
#   sh -s -- NONCE SECONDS expand QEMU MACHINE COMMANDS
#
#   UUID      a domain, whose persistent definition libvirt translates to QEMU's arguments
#   COMMANDS  for the monitor of a QEMU that runs no CPU

export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end %s\n' "$nonce" "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

within() {
    if found timeout; then timeout -s KILL "$seconds" "$@"; else "$@"; fi
}

translate() {
    uri=$1
    shift
    for uuid do
        # What cannot be read is not asked about: only a refusal to translate says something about the definition.
        xml=$(within virsh -c "$uri" dumpxml --inactive "$uuid" 2>/dev/null </dev/null) || continue
        begin "virsh domxml-to-native $uuid"
        printf '%s\n' "$xml" | within virsh -c "$uri" domxml-to-native qemu-argv /dev/stdin 2>&1
        end "exit $?"
    done
}

expand() {
    begin query-cpu-model-expansion
    if ! found "$1"; then end missing; return; fi
    # A warning on standard error would fall in the middle of an answer.
    printf '%s\n' "$3" | within "$1" -machine "$2" -accel kvm -S -m 16 \
        -nodefaults -no-user-config -display none -nic none -qmp stdio
    end "exit $?"
}

main() {
    nonce=$1 seconds=$2 question=$3
    shift 3
    printf '@%s nested-kvm-probe 1\n' "$nonce"
    "$question" "$@"
    printf '@%s done\n' "$nonce"
}

main "$@"
