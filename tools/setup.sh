#!/bin/sh
# Makes .venv from the lock files: what an audit needs; with the word "tests", what the tests need; with
# "engines", "fuzz", "release" or "docs" a separate environment for that, below .venv.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

export PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_NO_INPUT="${PIP_NO_INPUT-1}" # a prompt for a password would not be seen

has_ensurepip() {
    "$python" -c 'import ensurepip' 2>/dev/null
}

has_virtualenv() {
    "$python" -m virtualenv --version >/dev/null 2>&1
}

# Since pip 22.3 a pip outside the environment can fill it.
has_pip_outside() {
    "$python" -m pip --python "$python" --version >/dev/null 2>&1
}

has_python_headers() {
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

missing_for_venv() {
    has_ensurepip || has_virtualenv || has_pip_outside || echo ensurepip
}

missing_for_libvirt() {
    pkg-config --exists libvirt 2>/dev/null || echo libvirt-headers
    command -v pkg-config >/dev/null || echo pkg-config
    [ -n "${CC-}" ] || command -v gcc >/dev/null || echo gcc
    has_python_headers || echo python-headers
}

# All missing packages in one command, run here or printed; only pip is required.
install_missing_packages() {
    # shellcheck disable=SC2046  # parts are words
    set -- $(missing_for_venv) $(missing_for_libvirt)
    [ $# -eq 0 ] || install_packages "missing for .venv and libvirt-python" "$@" || true
    [ -z "$(missing_for_venv)" ] || die "stopped: $python can make no environment with pip; run that, then make again"
}

# The stamp holds the path, as the environment does: one that was moved or copied is not whole.
venv_is_whole() {
    [ "$(cat .venv/ready 2>/dev/null)" = "$(pwd -P)" ]
}

# Without its stamps, whatever an interruption leaves behind is not taken for a .venv.
forget_ready() {
    rm -f .venv/ready .venv/ready-for-tests
}

make_empty_venv() {
    rm -rf .venv
    if has_ensurepip; then
        quietly "$python" -m venv .venv
    elif has_virtualenv; then
        quietly "$python" -m virtualenv .venv
    else
        quietly "$python" -m venv --without-pip .venv
    fi
}

make_venv() {
    venv_is_whole && forget_ready && return
    say "making .venv with $("$python" --version)"
    make_empty_venv || die "could not make .venv in $PWD (the reason is above)"
}

pip_install() {
    if [ -x .venv/bin/pip ]; then
        quietly .venv/bin/python -m pip install "$@"
    else
        quietly "$python" -m pip --python .venv/bin/python install "$@"
    fi
}

install_locked() {
    say "installing the $(grep -c '^[a-z]' "$1") packages of $1"
    pip_install --require-hashes -r "$1" && return
    say "pip could not install them (its last lines are above)." \
        "Does it reach its index? 'pip config list' shows which; then run make again"
    return 1
}

# Built with the locked setuptools, not with one that pip would fetch for the purpose.
install_project() {
    PIP_REQUIRE_HASHES=0 pip_install --no-deps --no-build-isolation -e . ||
        die "pip could not install the project itself from $PWD (its last lines are above)"
}

compile_libvirt_python() {
    say "compiling libvirt-python"
    pip_install --require-hashes --no-build-isolation -r requirements-libvirt.lock &&
        quietly .venv/bin/python -c 'import libvirt'
}

install_libvirt_python() {
    if [ -z "$(missing_for_libvirt)" ]; then
        compile_libvirt_python && return
        say "libvirt-python did not compile (its last lines are above)"
    fi
    say "going on without libvirt-python: virsh will be asked instead; 'make setup' tries again"
}

set_up_audit() {
    install_missing_packages
    make_venv
    install_locked requirements.lock || exit 1
    install_project
    install_libvirt_python
    pwd -P >.venv/ready
}

# A package index that is out of reach must not cost the audit its environment.
set_up_tests() {
    venv_is_whole || die ".venv is not whole; run: make setup"
    forget_ready
    install_locked requirements-test.lock && got_all=yes || got_all=no
    pwd -P >.venv/ready
    [ "$got_all" = yes ] && touch .venv/ready-for-tests
}

# pip_into ENVIRONMENT ARGUMENTS: by the pip at hand; the environment itself needs no pip.
pip_into() {
    environment=$1
    shift
    if [ -x .venv/bin/pip ]; then with=.venv/bin/python; else with=$python; fi
    quietly "$with" -m pip --python "$environment/bin/python" install "$@"
}

install_project_into() {
    PIP_REQUIRE_HASHES=0 pip_into "$1" --no-deps --no-build-isolation -e . ||
        die "pip could not install the project itself from $PWD (its last lines are above)"
}

# What comes as source is built by the locked setuptools, as in install_project.
set_up_beside() {
    venv_is_whole || die ".venv is not whole; run: make setup"
    say "making .venv/$1 from the $(grep -c '^[a-z]' "requirements-$1.lock") packages of requirements-$1.lock"
    rm -rf ".venv/$1"
    quietly "$python" -m venv --without-pip ".venv/$1" || die "could not make .venv/$1 (the reason is above)"
    awk '/^[a-z]/ { on = /^(cython|setuptools)==/ } on' "requirements-$1.lock" >"$scratch/builder"
    if pip_into ".venv/$1" --require-hashes -r "$scratch/builder" &&
        pip_into ".venv/$1" --require-hashes --no-build-isolation -r "requirements-$1.lock"; then
        [ "$1" != fuzz ] || install_project_into ".venv/$1"
        touch ".venv/$1/ready"
    else
        die "pip could not install them (its last lines are above)"
    fi
}

main() {
    python=$(find_python)
    case ${1-audit} in
        audit) set_up_audit ;;
        tests) set_up_tests ;;
        engines | fuzz | release | docs) set_up_beside "$1" ;;
        *) die "usage: tools/setup.sh [tests | engines | fuzz | release | docs]" ;;
    esac
}

main "$@"
