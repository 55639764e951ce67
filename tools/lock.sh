#!/bin/sh
# Rewrites the lock files from pyproject.toml with the current releases: names, versions and hashes, no addresses.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

install_uv() {
    say "installing uv into a throwaway environment"
    quietly "$python" -m venv "$scratch/venv" || die "could not make an environment with $python (the reason is above)"
    quietly "$scratch/venv/bin/pip" install uv || die "pip could not install uv (its last lines are above)"
}

# uv does not read pip's configuration: it gets the index that pip uses.
use_the_index_of_pip() {
    index=${PIP_INDEX_URL-$("$scratch/venv/bin/pip" config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
}

resolve() {
    "$scratch/venv/bin/uv" pip compile --quiet --no-config --upgrade --universal --python-version 3.11 \
        --generate-hashes --no-header "$@"
}

# lock FILE ARGUMENTS: the old file stays until the new one is complete.
lock() {
    file=$1
    shift
    say "resolving $file"
    resolve --output-file "$scratch/$file" "$@" >/dev/null || die "$file is left as it was"
    { echo "# Written by 'make lock' from pyproject.toml." && cat "$scratch/$file"; } >"$scratch/complete"
    cp "$scratch/complete" "$file"
}

python=$(find_python)
install_uv
use_the_index_of_pip
lock requirements.lock pyproject.toml --group build
lock requirements-libvirt.lock --group libvirt-build --constraints requirements.lock
lock requirements-test.lock --group test --constraints requirements.lock
lock requirements-engines.lock --group engines
lock requirements-release.lock --group release --constraints requirements.lock
lock requirements-docs.lock --group docs --constraints requirements-test.lock --constraints requirements.lock
lock requirements-fuzz.lock pyproject.toml --group fuzz --group build --constraints requirements.lock
