#!/bin/sh
# Run the smallest guest there is under KVM: a boot sector that writes L2OK to the debug port.
#   boot-l2.sh       it leaves through isa-debug-exit; prints L2OK, exits 0 when it was seen
#   boot-l2.sh stay  the same sector without an exit device: it spins until it is killed
set -eu
disk=/run/lab-l2.img
# mov dx,0xe9; then mov al,C and out dx,al for each of "L2OK\n"; mov dx,0xf4; out dx,al; jmp to itself
printf '\272\351\000\260L\356\2602\356\260O\356\260K\356\260\n\356\272\364\000\356\353\376' >"$disk"
truncate -s 510 "$disk"
printf '\125\252' >>"$disk"
truncate -s 1474560 "$disk"
set -- "${1:-leave}" -accel kvm -machine pc -cpu host -m 16 -nodefaults -no-user-config -display none \
    -no-reboot -drive "file=$disk,if=floppy,format=raw"
case $1 in
stay)
    shift
    setsid qemu-system-x86_64 "$@" -pidfile /run/lab-l2.pid -debugcon file:/run/lab-l2.out \
        >/run/lab-l2.log 2>&1 </dev/null &
    ;;
leave)
    shift
    timeout 60 qemu-system-x86_64 "$@" -debugcon stdio -device isa-debug-exit </dev/null 2>&1 | grep L2OK
    ;;
esac
