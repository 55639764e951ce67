#!/bin/sh
# Installs the programs of the bench's hosts; as a plain user it names the one command.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

# Daemons live in /usr/sbin, which a plain user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin

missing() {
    command -v sshd >/dev/null || echo sshd
    command -v ssh >/dev/null || echo ssh
    command -v modprobe >/dev/null || echo kmod
    command -v busybox >/dev/null || echo busybox
}

# shellcheck disable=SC2046  # parts are words
set -- $(missing)
[ $# -eq 0 ] || install_packages "the bench's hosts need programs that are missing here" "$@"
