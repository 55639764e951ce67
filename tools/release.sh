#!/bin/sh
# Makes what a release consists of, in dist/: tools/release.sh pyz | all. Publishes nothing.
# DIST=folder puts it elsewhere; KEY=file signs the checksums with ssh-keygen.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

dist=${DIST-dist}
tools=.venv/release/bin

# The tag's, or one that counts the commits since the last; the same for all parts of a release.
version() {
    "$tools/hatchling" version 2>"$scratch/log" || die "hatchling finds no version: $(tail -n 1 "$scratch/log")"
}

# The same commit gives the same files.
set_the_clock() {
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH-$(git log -1 --format=%ct 2>/dev/null || echo 1580601600)}
    export SOURCE_DATE_EPOCH
}

# A release has its commit's tag for a version: what was built from another commit must not look like it.
check_the_tag() {
    git describe --exact-match --tags --match 'v[0-9]*' >/dev/null 2>&1 ||
        die "this commit has no tag of a version: git tag -s v1.2.3, or UNTAGGED=yes for a trial"
}

check_the_tree() {
    [ -z "$(git status --porcelain 2>/dev/null)" ] || die "there are changes that are not committed"
}

build() {
    say "building the $1"
    quietly "$tools/python" -m hatchling build -t "$1" -d "$dist" || die "hatchling could not build it"
}

build_pyz() {
    say "building nested-kvm.pyz with $("$tools/python" --version), for machines with the same"
    set -- "$dist"/nested_kvm_compliance-"$(version)"-*.whl
    pip_into_pyz --require-hashes -r requirements.lock
    pip_into_pyz --no-deps "$1"
    quietly "$tools/shiv" --site-packages "$scratch/pyz" --console-script nested-kvm --reproducible \
        --python '/usr/bin/env python3' --output-file "$dist/nested-kvm.pyz" || die "shiv could not make it"
}

pip_into_pyz() {
    quietly .venv/bin/python -m pip install --disable-pip-version-check --target "$scratch/pyz" --upgrade "$@" ||
        die "pip could not install what the one file holds"
}

# What the audit needs, with licences and hashes, in CycloneDX's form and by its own tool.
write_sbom() {
    say "writing the SBOM"
    sed "s/^dynamic = \[\"version\"\]$/version = \"$(version)\"/" pyproject.toml >"$scratch/pyproject.toml"
    quietly "$tools/cyclonedx-py" requirements --pyproject "$scratch/pyproject.toml" --output-reproducible \
        --output-file "$dist/nested-kvm-compliance-$(version).cdx.json" requirements.lock ||
        die "cyclonedx-py could not write it"
}

write_checksums() {
    (cd "$dist" && find . -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
    [ -z "${KEY-}" ] || quietly ssh-keygen -Y sign -n file -f "$KEY" "$dist/SHA256SUMS" || die "$KEY cannot sign"
}

main() {
    set_the_clock
    case ${1-} in
        pyz)
            build wheel
            build_pyz
            ;;
        all)
            [ "${UNTAGGED-}" = yes ] || { check_the_tree && check_the_tag; }
            rm -rf "$dist"
            build wheel
            build sdist
            build_pyz
            write_sbom
            write_checksums
            ;;
        *) die "usage: tools/release.sh pyz | all" ;;
    esac
    say "made: $(find "$dist" -type f -printf '%P ')"
}

main "$@"
