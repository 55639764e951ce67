#!/bin/sh
# Builds a real kube-apiserver below build/, from Debian 12's source: no distribution has that program as a package.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

program=$PWD/build/kubernetes/kube-apiserver
# Other checkouts on this machine need not build it again.
kept=${XDG_CACHE_HOME:-${HOME:-$PWD/build}/.cache}/nested-kvm-compliance/kube-apiserver-1.20.2
PATH=$PATH:/usr/lib/go/bin

is_there() {
    command -v kube-apiserver >/dev/null || [ -x "$program" ]
}

# in_our_lists APT-COMMAND…: with separate package lists, of sources alone; those of the machine are left as they are.
in_our_lists() {
    quietly apt-get -o Dir::Etc::SourceList="$scratch/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$scratch/lists" -o Dir::Cache="$scratch/cache" "$@"
}

# Where the machine has Debian's packages from, their source is as well.
sources() {
    # shellcheck disable=SC2016  # apt expands them
    apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' 'Component: main' | sort -u
}

# A container's package lists are often empty: then apt knows no origin.
name_sources() {
    [ -n "$(sources)" ] || refresh_package_lists
    sources >"$scratch/sources.list"
    [ -s "$scratch/sources.list" ] ||
        die "kube-apiserver is built from Debian 12's source, and apt has no packages of Debian 12 here"
}

fetch() {
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$tree" || return
    name_sources && in_our_lists update || return
    (cd "$scratch" && in_our_lists source --download-only kubernetes golang-github-modern-go-reflect2) || return
    unpack kubernetes "$tree" && exchange_reflect2
}

unpack() {
    tar -xzf "$scratch/$1"_*.orig.tar.gz -C "$2" --strip-components=1
}

# The one that comes along reads maps as Go did before 1.18: with a newer Go the server crashes.
exchange_reflect2() {
    reflect2=$tree/vendor/github.com/modern-go/reflect2
    rm -r "$reflect2" && mkdir "$reflect2" && unpack golang-github-modern-go-reflect2 "$reflect2"
}

# The packages whose types the API describes, as upstream's Makefile.generated_files finds them.
described() {
    (cd vendor && find -L k8s.io -name '*.go' -exec grep -l '+k8s:openapi-gen=' {} + |
        grep -v -e '^k8s.io/code-generator/' -e '^k8s.io/sample-' -e '^k8s.io/kube-openapi/' -e '^k8s.io/gengo/' |
        sed 's,/[^/]*$,,; s,^,k8s.io/kubernetes/vendor/,')
    find pkg cmd -name '*.go' -exec grep -l '+k8s:openapi-gen=' {} + | sed 's,/[^/]*$,,; s,^,k8s.io/kubernetes/,'
}

# Without the drivers of clouds, which are a third of it.
compile() {
    cd "$tree" || return
    quietly go build -o "$scratch/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen || return
    quietly "$scratch/openapi-gen" --logtostderr -i "$(described | sort -u | paste -sd,)" -r "$scratch/violations" \
        -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
        -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt || return
    quietly go build -tags providerless -ldflags '-s -w' -o "$scratch/kube-apiserver" ./cmd/kube-apiserver
}

build() {
    tree=$scratch/go/src/k8s.io/kubernetes
    export GOPATH="$scratch/go" GOCACHE="$scratch/go-cache" GO111MODULE=off GOFLAGS='' CGO_ENABLED=0
    command -v apt-get >/dev/null || die "kube-apiserver is built from Debian 12's source, and there is no apt-get here"
    command -v go >/dev/null || install_packages "kube-apiserver is compiled" golang || return
    say "building kube-apiserver below build/: some minutes, once"
    fetch && (compile) || return
    keep "$scratch/kube-apiserver" "$kept" && keep "$kept" "$program"
}

# keep FROM TO: in one step, so that no other checkout finds half of it.
keep() {
    mkdir -p "${2%/*}" && cp "$1" "$2.$$" && mv "$2.$$" "$2"
}

is_there || { [ -x "$kept" ] && keep "$kept" "$program"; } || build || die "there is no kube-apiserver (the reason is above)"
