#!/bin/sh
# Installs the programs that the tests run for real; as a plain user it names the one command.
# tools/test-deps.sh everyday|heavy: heavy ones need what the others need, and more.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

# Daemons live in /usr/sbin, which a plain user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin

missing() {
    for program in sshd busybox shellcheck virsh qemu-ga nc promtool groff systemd-analyze; do
        command -v "$program" >/dev/null || echo "$program"
    done
    [ "$(uname -m)" != x86_64 ] || command -v qemu-system-x86_64 >/dev/null || echo qemu
    command -v modprobe >/dev/null || echo kmod
    [ -e /etc/libvirt/libvirtd.conf ] || echo libvirtd # Debian's bare libvirt-daemon lacks this, and the user it runs as
}

missing_of_heavy() {
    for program in sos etcd kubectl; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

missing_of_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        echo chromium
    command -v chromedriver >/dev/null || echo chromedriver
}

install_missing() {
    [ $# -eq 0 ] || install_packages "the tests run real programs that are missing here" "$@" ||
        say "going on: the tests that need them will say so"
}

# Heimdall's own reader of its format: one package of JavaScript, which needs no other.
install_inspecjs() {
    [ ! -e build/npm/node_modules/inspecjs/package.json ] || return 0
    command -v npm >/dev/null || install_packages "the tests read a report with Heimdall's own library" npm || return
    say "installing inspecjs below build/"
    quietly npm install --silent --no-audit --no-fund --fetch-retries=1 --prefix build/npm inspecjs@2.12.6
}

# shellcheck disable=SC2046  # parts are words
install_missing $(missing)
[ "${1-}" = heavy ] || exit 0

# shellcheck disable=SC2046  # as above
install_missing $(missing_of_heavy)
# By itself: not every distribution has the browser as a package, which must not keep the others away.
# shellcheck disable=SC2046  # as above
install_missing $(missing_of_browser)
# As above: the distribution in which the wheel is tried is made by mmdebstrap, the image of the Containerfile by buildah.
for program in mmdebstrap buildah; do
    command -v "$program" >/dev/null || install_missing "$program"
done
tools/kube-apiserver.sh || say "going on without kube-apiserver: the tests that need it will say so"
install_inspecjs || say "going on without inspecjs: the test that needs it will say so"
