#!/bin/sh
# Brings the programs that the suite's own tests run for real; as a plain user it names the one command.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/parts.sh
. tools/parts.sh

# Daemons live in /usr/sbin, which a plain user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin

missing() {
    for program in sshd busybox shellcheck virsh qemu-ga; do
        command -v "$program" >/dev/null || echo "$program"
    done
    command -v modprobe >/dev/null || echo kmod
    [ -e /etc/libvirt/libvirtd.conf ] || echo libvirtd # Debian's bare libvirt-daemon lacks this, and the user it runs as
}

# shellcheck disable=SC2046  # parts are words
set -- $(missing)
[ $# -eq 0 ] || bring "the tests run real programs that are missing here" "$@" ||
    say "going on: the tests that need them will say so"
