#!/bin/sh
# Boots a tiny test VM (L2) under KVM, and prints the outcome in the probe's frames: only `--active` runs it.
# It writes no file. What it starts is killed after SECONDS, or when the connection is closed. POSIX sh, as the probe.
#
#   sh -s -- NONCE SECONDS ROM PROGRAM CODE ACCELERATOR MODEL
#
#   ROM      the L2 as an option ROM, for printf %b
#   PROGRAM  runs the L2 in python3 where there is no QEMU, with its CODE in hexadecimal digits

export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin

begin() { printf '@%s begin %s\n' "$nonce" "$1"; }
end() { printf '\n@%s end %s\n' "$nonce" "$1"; }
found() { command -v "$1" >/dev/null 2>&1; }

# Becomes the program, within limits: no core file, 512 MiB, little more processor time than time. It yields to others,
# yet not so far that a busy guest would make it too slow to answer.
# shellcheck disable=SC3045  # every known sh has these three
confined() {
    ulimit -c 0
    ulimit -d 524288
    ulimit -t "$((seconds + 2))"
    if found nice; then set -- nice -n 5 "$@"; fi
    if timeout --foreground -s KILL 1 true; then set -- timeout --foreground -k 1 -s KILL "$seconds" "$@"
    elif timeout -s KILL 1 true; then set -- timeout -s KILL "$seconds" "$@"
    fi
    exec 2>&1 "$@"
} 2>/dev/null

# An empty line per second detects a closed connection; timeout(1) forwards a TERM, and follows it with a KILL.
watch_over() {
    trap '' PIPE
    trap '[ "$!" = "$job" ] || kill -KILL "$!"; exit' TERM
    left=$((seconds + 2))
    while printf '\n' >&4; do
        if [ "$left" -eq 0 ]; then kill -KILL "$job"; exit; fi
        left=$((left - 1))
        sleep 1 4>&- &
        wait "$!"
    done
    kill -TERM "$job"
    sleep 2
    kill -KILL "$job"
} >/dev/null 2>&1

supervised() {
    confined "$@" <&3 3<&- 4>&- &
    job=$!
    watch_over </dev/null 3<&- &
    watcher=$!
    wait "$job" 2>/dev/null
    ended=$?
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    printf '\nexit %s\n' "$ended"
}

# Succeeds where the L2 has exited or timed out: then there is nothing more to try.
attempt() {
    begin "$1"
    shift
    started=$(date +%s)
    answer=$(supervised "$@" 3<&0 2>&1 | sed -n -e '1,40{p' -e 'b' -e '}' -e '$p' | cut -c 1-400)
    status=${answer##*exit }
    printf '%s' "${answer%exit *}"
    if [ "$status" -eq 137 ] && [ "$(($(date +%s) - started))" -lt "$seconds" ]; then
        echo 'it was killed before its time was up'
        status=9
    fi
    end "exit $status"
    [ "$status" -eq 85 ] || [ "$status" -eq 137 ]
}

by_qemu() {
    for program in qemu-system-x86_64 /usr/libexec/qemu-kvm qemu-kvm kvm; do
        if ! found "$program"; then continue; fi
        printf '%b' "$rom" | attempt "$by_qemu" "$program" -accel "$accelerator" -cpu "$model" -m 16 \
            -nodefaults -no-user-config -display none -nic none -no-reboot \
            -fw_cfg name=genroms/l2.rom,file=/proc/self/fd/0 \
            -chardev file,id=answer,path=/proc/self/fd/1 -device isa-debugcon,iobase=0xe9,chardev=answer \
            -device isa-debug-exit,iobase=0xf4,iosize=4
        return
    done
    begin "$by_qemu"
    end missing
    return 1
}

by_python() {
    for program in python3 /usr/libexec/platform-python; do
        if ! found "$program"; then continue; fi
        attempt "$by_python" "$program" -I -S -c "$python" "$code" </dev/null
        return
    done
    begin "$by_python"
    end missing
}

main() {
    nonce=$1 seconds=$2 rom=$3 python=$4 code=$5 accelerator=$6 model=$7
    by_qemu='qemu-system-x86_64 -accel kvm'
    by_python='python3, by ioctl of /dev/kvm'
    frames=$(by_qemu || by_python)
    printf '@%s nested-kvm-probe 1\n%s\n@%s done\n' "$nonce" "$frames" "$nonce"
}

exec 4>&1
main "$@" </dev/null
