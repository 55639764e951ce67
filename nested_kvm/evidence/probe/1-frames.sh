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
begin_frame() { said="$said@$nonce begin $1$newline"; }
end() {
    said="$said$newline@$nonce end $1$newline"
    frames=$((frames + 1))
    [ "$((frames % 16))" -ne 0 ] || print_said
}
say() { said=$said$1$newline; }
say_any() { [ -z "$1" ] || say "$1"; }
print_said() {
    printf %s "$said"
    said=
}
raw() { printf '%s\n' "$1"; }
is_found() { command -v "$1" >/dev/null 2>&1; }

within_limit() { timeout -s KILL "$seconds" "$@"; }

# Replaces timeout(1): a watch_dog that ends with the process that it watches, and holds no pipe open. Terminated before
# it sleeps, it must not sleep at all: then $! is still the job.
with_watchdog() {
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

says_lacking() {
    missing "$1"
    end "$state"
}

# Sets $link: the target of a symbolic link, as it is written.
points_to() {
    link=
    [ -L "$1" ] || return 0
    to=$(readlink "$1") || return 0
    case $to in *"$newline"*) ;; *) link=" -> $to" ;; esac
}

file() {
    for path do
        case $printed in *"$newline$path$newline"*) continue ;; esac
        begin_frame "$path"
        if [ -f "$path" ]; then
            print_said
            if [ -r "$path" ] && cat "$path" 2>/dev/null; then state=ok; else state=unreadable; fi
        elif [ -d "$path" ]; then state=directory
        elif [ -c "$path" ] || [ -b "$path" ]; then state=device
        elif [ -e "$path" ]; then state=special
        elif [ -L "$path" ]; then state=dangling
        else missing "$path"
        fi
        points_to "$path"
        end "$state$link"
    done
}

# Only the lines of files that match: the others may be secret. One grep for all files; where it cannot read one, or
# considers it binary, each has its own, and so has one whose name is not plain.
settings_in() {
    pattern=$1
    shift
    listed=
    for path do
        case $path in *[":$newline"]*) ;; *) [ ! -f "$path" ] || listed=$listed$path$newline ;; esac
    done
    all_lines=
    set -f
    IFS=$newline
    # shellcheck disable=SC2086  # a file each
    [ -z "$listed" ] || all_lines=$(grep -E "$pattern" /dev/null $listed 2>&1) || [ "$?" -eq 1 ] || listed=
    unset IFS
    set +f
    case $all_lines in *'inary file '*) listed= ;; esac
    for path do
        lines=
        begin_frame "$path"
        if [ ! -f "$path" ]; then says_lacking "$path"; continue; fi
        state=ok
        case $newline$listed in *"$newline$path$newline"*) lines_of "$path" ;; *) lines_alone ;; esac
        say_any "$lines"
        end "$state"
        case $path$lines in "$memory/"*"<emulator>/"*) changed_at ;; esac
    done
}

# Sets $lines: those of $all_lines that belong to one file.
lines_of() {
    set -f
    IFS=$newline
    for line in $all_lines; do
        case $line in "$1:"*) lines=$lines${lines:+$newline}${line#"$1:"} ;; esac
    done
    unset IFS
    set +f
}

# Of a file that it considers binary grep prints none, or not all, and says so.
lines_alone() {
    lines=$(grep -E "$pattern" "$path" 2>&1)
    case $?$lines in
        *'inary file '*matches) ;;
        0* | 1) return ;;
    esac
    state=unreadable
    lines=
}

# The same for those files that exist.
settings_where_present() {
    wanted=$1
    shift
    for entry do
        shift
        [ ! -f "$entry" ] || set -- "$@" "$entry"
    done
    settings_in "$wanted" "$@"
}

# The type, mode and owner of a node, not its content.
node() {
    begin_frame "$1"
    points_to "$1"
    print_said
    if [ -e "$1" ]; then
        if ls -ldLn "$1" 2>/dev/null; then end "ok$link"; else end unreadable; fi
    elif [ -L "$1" ]; then end "dangling$link"
    else says_lacking "$1"
    fi
}

# The names in a directory, one per line.
names_of() {
    begin_frame "$1"
    if [ ! -d "$1" ]; then says_lacking "$1"
    elif [ ! -r "$1" ] || [ ! -x "$1" ]; then end unreadable
    else
        for_each name "$1"
        points_to "$1"
        end "ok$link"
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
values_of() {
    begin_frame "$1"
    if [ ! -d "$1" ]; then says_lacking "$1"; return; fi
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
    begin_frame "$*"
    answer "$@"
}

answer() {
    if ! is_found "$1"; then end missing; return; fi
    print_said
    within_limit "$@" </dev/null 2>&1
    end "exit $?"
}

# A timeout(1) that is a link belongs to a multi-call binary. Some versions of uutils do not kill, or kill only the command
# and not its children: then the watch_dog is used.
has_timeout() { timeout=$(command -v timeout) && [ ! -L "$timeout" ]; }

# Commands of plain words under one time limit, which starts two programs instead of one for each. GNU timeout(1) ends
# everything that its command started. Where it is not available, or a command hangs, each command has its own limit.
run_together() {
    if has_timeout && {
        answer=$(nonce=$nonce timeout --preserve-status -s KILL "$seconds" sh -c "$kernel_log;$framed" sh "$@") && [ -n "$answer" ]
    } 2>/dev/null; then
        say "$answer"
        return
    fi
    if ! has_timeout || [ -z "$(within_limit echo works 2>/dev/null)" ]; then within_limit() { with_watchdog "$@"; }; fi
    eval "$kernel_log"
    for words do
        begin_frame "$words"
        # shellcheck disable=SC2086  # words
        case $words in
            dmesg) if is_found dmesg; then print_said; filter_log; end "exit $status"; else end missing; fi ;;
            'modinfo of'*) end absent ;;
            *) answer $words ;;
        esac
    done
}

# The two are for the shell that they are given to; in the second one $k is the modules that kmod would load. Of the
# kernel log the lines that may be about KVM, the last 400: 1,600 characters cannot be more. The line that is added
# behind it is such a line. Of a log that cannot be read, or has a NUL, the shell takes it all. Ansible reads a brace
# followed by a # as the beginning of a comment.
# shellcheck disable=SC2016
kernel_log='filter_log() {
p="kvm|svm|vmx|vboxdrv|vmmon|encryption f" lines= status=0
[ -z "$1" ]||lines=$({ "$@" </dev/null 2>&1;printf "\nkvm $?";}|grep -iE "$p")
case $lines in *"kvm 0")lines=${lines%kvm 0} lines=${lines%?};;
*)lines=$(within_limit dmesg </dev/null 2>&1)||status=$?
if [ $status -eq 0 ];then lines=$(printf "%s\n" "$lines"|grep -iE "$p")
else lines=$(printf "%s\n" "$lines"|tail -n 5);fi
esac
set -- "$lines"
eval "length=\${""#1}"
[ $length -le 1600 ]||lines=$(printf "%s\n" "$lines"|tail -n 400)
printf "%s\n" "$lines"
}'
# shellcheck disable=SC2016
framed='n=$nonce;unset nonce k;set -f;within_limit(){ "$@";}
for words do set -- $words
case $2$k in --p*"/$3.ko"*|--p*"/${3%_*}-${3#*_}.ko"*)continue;esac
printf "@%s begin %s\n" "$n" "$words"
case $2$3 in ofevery)set -- modinfo $k;esac
state=absent
if [ "$*" != modinfo ];then
state=missing
if command -v "$1" >/dev/null 2>&1;then
case $1$2 in dmesg)filter_log dmesg;;
modprobe--s*)t=$("$@" </dev/null 2>&1);status=$?;printf "%s\n" "$t";for t in $t;do case $t in /*.ko|/*.ko.*)k="$k $t";esac;done;;
*)"$@" </dev/null 2>&1;status=$?;[ $status = 0 ]||k=;esac
state="exit $status";fi;fi
printf "\n@%s end %s\n" "$n" "$state";done'
