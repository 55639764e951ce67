#!/bin/sh
# The probe: prints every raw reading of one machine in one framed answer. Read-only: it writes no file,
# starts nothing that stays, asks nothing. POSIX sh only; runs in dash, bash, ksh and busybox.
#
#   python -m nested_kvm.evidence.probe | sh -s -- [NONCE [SECONDS [VIRSH [URI [ACCOUNT]]]]]
#
#   NONCE    marks the frames, so that no file's content can pass for one (default: a random one)
#   SECONDS  after which a single command is killed (default 10)
#   VIRSH    always | fallback | never: ask virsh too; fallback: only where libvirt's RPC has no way in
#   URI      libvirt's, for virsh (default qemu:///system)
#   ACCOUNT  that will run VMs here, where the inventory names one

export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
newline='
'

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end %s\n' "$nonce" "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

choose_limiter() {
    if found timeout && timeout -s KILL 1 true 2>/dev/null; then
        limited() { timeout -s KILL "$seconds" "$@"; }
    else
        limited() { watched "$@"; }
    fi
}

# Where there is no timeout(1): a watchdog that ends with what it watches, and holds no pipe open. Told to end before
# it sleeps, it must not sleep at all: then $! is still the job.
watched() {
    "$@" &
    job=$!
    (
        trap '[ "$!" = "$job" ] || kill -KILL "$!"; exit' TERM
        sleep "$seconds" &
        wait "$!" && kill -KILL "$job"
    ) >/dev/null 2>&1 &
    watchdog=$!
    wait "$job" 2>/dev/null
    status=$?
    kill "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    return "$status"
}

# absent, or unreadable where a parent directory does not let us look.
missing() {
    parent=${1%/*}
    while [ -n "$parent" ] && [ ! -d "$parent" ]; do parent=${parent%/*}; done
    if [ -x "${parent:-/}" ]; then echo absent; else echo unreadable; fi
}

pointing() {
    [ -L "$1" ] || return 0
    to=$(readlink "$1") || return 0
    case $to in *"$newline"*) ;; *) printf ' -> %s' "$to" ;; esac
}

file() {
    for source do
        begin "$source"
        if [ -f "$source" ]; then
            if [ -r "$source" ] && cat "$source" 2>/dev/null; then state=ok; else state=unreadable; fi
        elif [ -d "$source" ]; then state=directory
        elif [ -c "$source" ] || [ -b "$source" ]; then state=device
        elif [ -e "$source" ]; then state=special
        elif [ -L "$source" ]; then state=dangling
        else state=$(missing "$source")
        fi
        end "$state$(pointing "$source")"
    done
}

# Only the lines of a file that match: what else stands in it may be secret.
settings() {
    pattern=$1
    begin "$2"
    if [ ! -f "$2" ]; then end "$(missing "$2")"; return; fi
    grep -E "$pattern" "$2" 2>/dev/null
    if [ "$?" -le 1 ]; then end ok; else end unreadable; fi
}

# What a node is, not what it holds.
node() {
    begin "$1"
    if [ -e "$1" ]; then
        if ls -ldLn "$1" 2>/dev/null; then end "ok$(pointing "$1")"; else end unreadable; fi
    elif [ -L "$1" ]; then end "dangling$(pointing "$1")"
    else end "$(missing "$1")"
    fi
}

# The names in a directory, one a line. A name with a newline in it is no name that anything reads.
names() {
    begin "$1"
    if [ ! -d "$1" ]; then end "$(missing "$1")"
    elif [ ! -r "$1" ] || [ ! -x "$1" ]; then end unreadable
    else
        for entry in "$1"/* "$1"/.[!.]*; do
            case $entry in *"$newline"*) continue ;; esac
            if [ -e "$entry" ] || [ -L "$entry" ]; then printf '%s\n' "${entry##*/}"; fi
        done
        end ok
    fi
}

# Small files of one value each: `name=value` a line, `name!` where it cannot be read.
values() {
    begin "$1"
    if [ ! -d "$1" ]; then end "$(missing "$1")"; return; fi
    for entry in "$1"/*; do
        if [ ! -f "$entry" ]; then continue; fi
        value=
        if [ -r "$entry" ] && { IFS= read -r value <"$entry" || [ -n "$value" ]; } 2>/dev/null; then
            printf '%s=%s\n' "${entry##*/}" "$value"
        else
            printf '%s!\n' "${entry##*/}"
        fi
    done
    end ok
}

run() {
    begin "$*"
    if found "$1"; then limited "$@" </dev/null 2>&1; end "exit $?"; else end missing; fi
}

# Only the lines that match: of a command whose whole answer is large.
matching() {
    pattern=$1
    shift
    begin "$*"
    if ! found "$1"; then end missing; return; fi
    answer=$(limited "$@" </dev/null 2>&1)
    status=$?
    if [ "$status" -eq 0 ]; then
        printf '%s\n' "$answer" | grep -iE "$pattern" | tail -n 400
    else
        printf '%s\n' "$answer" | tail -n 5
    fi
    end "exit $status"
}

