# shellcheck shell=sh
# Sourced by the scripts beside it: finding Python, and installing parts of the distribution.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP

say() {
    echo "setup: $*" >&2
}

die() {
    say "$*"
    exit 1
}

# What went well needs no more than its one line; a failure shows what the command said.
quietly() {
    "$@" >"$scratch/log" 2>&1 </dev/null && return
    tail -n 30 "$scratch/log" >&2
    return 1
}

python_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if python_is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        elif [ "$candidate" = "${PYTHON-}" ]; then
            die "PYTHON=$PYTHON is not a Python 3.11 or newer; leave it out, or name another"
        fi
    done
    die "no Python 3.11 or newer here ($(python3 --version 2>/dev/null || echo 'no python3 at all'));" \
        "install one, or name it: make PYTHON=/path/to/python3 …"
}

package_manager() {
    for manager in apt-get dnf zypper; do
        command -v "$manager" >/dev/null || continue
        echo "$manager"
        return
    done
}

# package MANAGER PART: what the distribution calls it. A second Python has its own packages: python3.12-dev.
package() {
    python_package=$(basename "${python-python3}")
    case $1:$2 in
        apt-get:libvirt-headers) echo libvirt-dev ;;
        *:libvirt-headers) echo libvirt-devel ;;
        apt-get:python-headers) echo "$python_package-dev" ;;
        zypper:python-headers) echo "$python_package-devel" | tr -d . ;;
        *:python-headers) echo "$python_package-devel" ;;
        apt-get:ensurepip) echo "$python_package-venv" ;;
        zypper:ensurepip) echo "$python_package-pip" | tr -d . ;;
        *:ensurepip) echo "$python_package-pip" ;;
        dnf:pkg-config) echo pkgconf-pkg-config ;;
        zypper:qemu) echo qemu-x86 ;;
        *:qemu) echo qemu-system-x86 ;;
        dnf:busybox) echo busybox ;;
        *:busybox) echo busybox-static ;;
        *:systemd-analyze) echo systemd ;;
        *:sshd) echo openssh-server ;;
        dnf:ssh | zypper:ssh) echo openssh-clients ;;
        *:ssh) echo openssh-client ;;
        apt-get:libvirtd) echo libvirt-daemon-system ;;
        *:libvirtd) echo libvirt-daemon ;;
        apt-get:virsh) echo libvirt-clients ;;
        *:virsh) echo libvirt-client ;;
        dnf:nc) echo netcat ;;
        *:nc) echo netcat-openbsd ;;
        apt-get:chromedriver) echo chromium-driver ;;
        apt-get:promtool) echo prometheus ;;
        apt-get:sos) echo sosreport ;;
        apt-get:golang) echo golang-go ;;
        apt-get:etcd) echo etcd-server ;;
        *:kubectl) echo kubernetes-client ;;
        zypper:promtool) echo golang-github-prometheus-prometheus ;;
        *:promtool) echo golang-github-prometheus ;;
        *:qemu-ga) echo qemu-guest-agent ;;
        dnf:shellcheck | zypper:shellcheck) echo ShellCheck ;;
        *) echo "$2" ;;
    esac
}

# install_command PARTS: the one command that installs them; fails where the package manager is unknown.
install_command() {
    manager=$(package_manager)
    case $manager in
        apt-get) command="apt-get install -y --no-install-recommends" ;;
        dnf) command="dnf install -y" ;;
        zypper) command="zypper --non-interactive install" ;;
        *) return 1 ;;
    esac
    for part in "$@"; do
        command="$command $(package "$manager" "$part")"
    done
    echo "$command"
}

# A container's package lists are often empty, and old ones name files that are gone.
refresh_package_lists() {
    [ "$(package_manager)" != apt-get ] || quietly apt-get update -qq ||
        say "apt-get update failed; trying with the lists at hand"
}

# install_packages WHY PARTS: installs them as root, else says how; fails where they are not installed.
install_packages() {
    why=$1
    shift
    if ! command=$(install_command "$@"); then
        say "$why: no package manager known here; please install: $*"
    elif [ "$(id -u)" -ne 0 ]; then
        say "$why: as root run: $command"
    else
        say "$why: running: $command"
        refresh_package_lists
        # shellcheck disable=SC2086  # the command is words
        DEBIAN_FRONTEND=noninteractive quietly $command && return
        say "that failed (its last lines are above); once fixed, run: $command"
    fi
    return 1
}
