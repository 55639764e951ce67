#!/bin/sh
# Asks this host's libvirt and QEMU what CPU definitions give, and prints the answers in the probe's frames: only
# `--active` runs it. No guest is started, and no file is written. POSIX sh, as the probe.
#
#   sh -s -- NONCE SECONDS ENOUGH translate URI UUID...
#   sh -s -- NONCE SECONDS ENOUGH translate_given URI [NAME XML]...
#   sh -s -- NONCE SECONDS ENOUGH expand QEMU MACHINE COMMANDS
#
#   SECONDS   for one program; after ENOUGH of them no further definition is translated
#   UUID      a domain, whose persistent definition libvirt translates to QEMU's arguments
#   XML       a domain that libvirt does not have, and NAME what its answer is called
#   COMMANDS  for the monitor of a QEMU that runs no CPU

export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end %s\n' "$nonce" "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

within() {
    if found timeout; then timeout -s KILL "$seconds" "$@"; else "$@"; fi
}

in_time() { [ "$(date +%s)" -lt "$until" ]; }

native() {
    begin "virsh domxml-to-native $1"
    printf '%s\n' "$2" | within virsh -c "$uri" domxml-to-native qemu-argv /dev/stdin 2>&1
    end "exit $?"
}

translate() {
    uri=$1
    shift
    for uuid do
        in_time || return 0
        # What cannot be read is not asked about: only a refusal to translate says something about the definition.
        xml=$(within virsh -c "$uri" dumpxml --inactive "$uuid" 2>/dev/null </dev/null) || continue
        native "$uuid" "$xml"
    done
}

translate_given() {
    uri=$1
    shift
    # Without a connection nothing is learned about a definition.
    begin "virsh uri"
    if ! found virsh; then end missing; return; fi
    within virsh -c "$uri" uri 2>&1 </dev/null
    status=$?
    end "exit $status"
    [ "$status" -eq 0 ] || return
    while [ $# -gt 1 ] && in_time; do
        native "$1" "$2"
        shift 2
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
    nonce=$1 seconds=$2 question=$4
    until=$(($(date +%s) + $3))
    shift 4
    printf '@%s nested-kvm-probe 1\n' "$nonce"
    "$question" "$@"
    printf '@%s done\n' "$nonce"
}

main "$@"
