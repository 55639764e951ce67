# A guest is saved to disk with the CPU it was started with; its next start restores that CPU, whatever its XML says.
# on: lab-l0
enter() {
    test "$(virsh -q domstate changed)" = running || { echo 'guest changed is not running: start it first' >&2; exit 1; }
    virsh -q managedsave changed
}
undo() { virsh -q start changed; }
