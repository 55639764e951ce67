# An L2 runs in the guest passthrough until the scenario is undone.
# on: passthrough
enter() {
    boot-l2 stay
    tries=60
    until grep -qs L2OK /run/lab-l2.out; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo 'the L2 did not boot' >&2; exit 1; }
        sleep 1
    done
}
undo() { kill "$(cat /run/lab-l2.pid)"; }
