#!/bin/sh
# The probe: prints every raw reading of one machine in one framed answer. Read-only: it writes no file,
# leaves no process behind, and never prompts. POSIX sh only; runs in dash, bash, ksh and busybox.
#
#   python -m nested_kvm.evidence.probe | sh -s -- [NONCE [SECONDS [VIRSH [URI [ACCOUNT]]]]]
#
#   NONCE    marks the frames, so that no file's content can pass for one (default: a random one)
#   SECONDS  after which a single command is killed (default 10)
#   VIRSH    always | fallback | never: ask virsh too; fallback: only where libvirt's RPC is not reachable
#   URI      of libvirt, for virsh (default qemu:///system)
#   ACCOUNT  that will run VMs on this machine, where the inventory names one

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
export LC_ALL=C PATH
unset MODPROBE_OPTIONS
newline='
'

# Frames. Output is buffered until a program prints something itself, for 16 frames at most: a few large packets cost
# both ends less than hundreds of small ones.
begin() { said="$said@$nonce begin $1$newline"; }
end() {
    said="$said$newline@$nonce end $1$newline"
    frames=$((frames + 1))
    [ "$((frames % 16))" -ne 0 ] || flush
}
say() { said=$said$1$newline; }
say_any() { [ -z "$1" ] || say "$1"; }
flush() {
    printf %s "$said"
    said=
}
raw() { printf '%s\n' "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

limited() { timeout -s KILL "$seconds" "$@"; }

# Replaces timeout(1): a watch_dog that ends with the process that it watches, and holds no pipe open. Terminated before
# it sleeps, it must not sleep at all: then $! is still the job.
watched() {
    "$@" &
    job=$!
    (
        trap '[ "$!" = "$job" ] || kill -KILL "$!"; exit' TERM
        sleep "$seconds" &
        wait "$!" && kill -KILL "$job"
    ) >/dev/null 2>&1 &
    watch_dog=$!
    wait "$job" 2>/dev/null
    status=$?
    { kill "$watch_dog"; wait "$watch_dog"; } 2>/dev/null
    return "$status"
}

# Sets $state to absent, or to unreadable where a parent directory may not be searched.
missing() {
    parent=${1%/*}
    while [ -n "$parent" ] && [ ! -d "$parent" ]; do parent=${parent%/*}; done
    if [ -x "${parent:-/}" ]; then state=absent; else state=unreadable; fi
}

lacks() {
    missing "$1"
    end "$state"
}

# Sets $link: the target of a symbolic link, as it is written.
pointing() {
    link=
    [ -L "$1" ] || return 0
    to=$(readlink "$1") || return 0
    case $to in *"$newline"*) ;; *) link=" -> $to" ;; esac
}

# The shell itself reads small files, which starts no program. It drops NULs: then the size differs.
is_read() {
    size=${sizes%%" $1$newline"*}
    [ "$size" != "$sizes" ] || return 1
    size=${size##*[!0-9]}
    [ "${size:-9999}" -le 2000 ] || return 1
    text=
    line=
    while IFS= read -r line; do text=$text$line$newline; done <"$1"
    text=$text$line
    length_of "$text"
    [ "$length" -eq "$size" ]
}

# Ansible reads a brace followed by a # as the beginning of a comment.
length_of() { length=; eval "length=\${""#1}"; }

content() {
    if is_read "$1"; then said=$said$text; return; fi
    flush
    cat "$1"
}

file() {
    for path do
        begin "$path"
        if [ -f "$path" ]; then
            if [ -r "$path" ] && content "$path" 2>/dev/null; then state=ok; else state=unreadable; fi
        elif [ -d "$path" ]; then state=directory
        elif [ -c "$path" ] || [ -b "$path" ]; then state=device
        elif [ -e "$path" ]; then state=special
        elif [ -L "$path" ]; then state=dangling
        else missing "$path"
        fi
        pointing "$path"
        end "$state$link"
    done
}

# Only the lines of files that match: the others may be secret. Sets $lines. Of a file that it considers binary grep
# prints none, or not all, and says so.
settings() {
    pattern=$1
    shift
    for path do
        lines=
        begin "$path"
        if [ ! -f "$path" ]; then lacks "$path"; continue; fi
        lines=$(grep -E "$pattern" "$path" 2>&1)
        case $?$lines in
            *'inary file '*matches) state=unreadable ;;
            0* | 1) state=ok ;;
            *) state=unreadable ;;
        esac
        [ "$state" = ok ] || lines=
        say_any "$lines"
        end "$state"
    done
}

# The same for those files that exist.
present() {
    wanted=$1
    shift
    for entry do [ ! -f "$entry" ] || settings "$wanted" "$entry"; done
}

# The type, mode and owner of a node, not its content.
node() {
    begin "$1"
    pointing "$1"
    flush
    if [ -e "$1" ]; then
        if ls -ldLn "$1" 2>/dev/null; then end "ok$link"; else end unreadable; fi
    elif [ -L "$1" ]; then end "dangling$link"
    else lacks "$1"
    fi
}

# The names in a directory, one per line.
names() {
    begin "$1"
    if [ ! -d "$1" ]; then lacks "$1"
    elif [ ! -r "$1" ] || [ ! -x "$1" ]; then end unreadable
    else
        for_each name "$1"
        end ok
    fi
}

name() { say "${1##*/}"; }

# A file with a newline in its name is listed with a ? instead, not read.
for_each() {
    for entry in "$2"/* "$2"/.[!.]*; do
        case $entry in *"$newline"*) [ "$1" = file ] || name "${entry%%"$newline"*}?${entry##*"$newline"}"; continue ;; esac
        if [ -e "$entry" ] || [ -L "$entry" ]; then "$1" "$entry"; fi
    done
}

# Small files of one value each: a line `name=value`, or `name!` where it cannot be read.
values() {
    begin "$1"
    if [ ! -d "$1" ]; then lacks "$1"; return; fi
    for entry in "$1"/*; do
        [ -f "$entry" ] || continue
        value=
        if [ -r "$entry" ] && { IFS= read -r value <"$entry" || [ -n "$value" ]; } 2>/dev/null; then
            say "${entry##*/}=$value"
        else
            say "${entry##*/}!"
        fi
    done
    end ok
}

run() {
    begin "$*"
    answer "$@"
}

answer() {
    if ! found "$1"; then end missing; return; fi
    flush
    limited "$@" </dev/null 2>&1
    end "exit $?"
}

# A timeout(1) that is a link belongs to a multi-call binary. Some versions of uutils do not kill, or kill only the command
# and not its children: then the watch_dog is used.
has_timeout() { timeout=$(command -v timeout) && [ ! -L "$timeout" ]; }

# Commands of plain words under one time limit, which starts two programs instead of one for each. GNU timeout(1) ends
# everything that its command started. Where it is not available, or a command hangs, each command has its own limit.
together() {
    if has_timeout && {
        answer=$(nonce=$nonce timeout --preserve-status -s KILL "$seconds" sh -c "$framed" sh "$@") && [ -n "$answer" ]
    } 2>/dev/null; then
        say "$answer"
        return
    fi
    if ! has_timeout || [ -z "$(limited echo works 2>/dev/null)" ]; then limited() { watched "$@"; }; fi
    # shellcheck disable=SC2086  # words
    for words do run $words; done
    answer=
}

# shellcheck disable=SC2016  # for the shell that it is given to
framed='n=$nonce;unset nonce;set -f;for words do printf "@%s begin %s\n" "$n" "$words";if command -v "${words%% *}" >/dev/null 2>&1;then $words </dev/null 2>&1;state="exit $?";else state=missing;fi;printf "\n@%s end %s\n" "$n" "$state";done'

# Only the last 400 lines that match, of a command with a large answer.
matching() {
    pattern=$1
    shift
    begin "$*"
    if ! found "$1"; then end missing; return; fi
    answer=$(limited "$@" 2>&1)
    status=$?
    flush
    if [ "$status" -ne 0 ]; then raw "$answer" | tail -n 5
    else
        lines=$(raw "$answer" | grep -iE "$pattern")
        # This little cannot be more than 400 lines: each has at least three characters.
        length_of "$lines"
        if [ "$length" -gt 1600 ]; then raw "$lines" | tail -n 400; else say_any "$lines"; fi
    fi
    end "exit $status"
}
