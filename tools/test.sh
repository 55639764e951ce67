#!/bin/sh
# Runs the project's tests: those that may share the machine in parallel, then those that must be alone.
# Fails where either fails, or where the arguments select no test at all.
# tools/test.sh everyday|heavy|all [PYTEST-ARGUMENT…]
set -u
cd "$(dirname "$0")/.." || exit 1

case ${1-} in
everyday) ours=' and not heavy' ;;
heavy) ours=' and heavy' ;;
all) ours= ;;
*)
    echo 'usage: tools/test.sh everyday|heavy|all [PYTEST-ARGUMENT…]' >&2
    exit 4
    ;;
esac
shift

run() {
    tools/tests-again.sh --ignore=tests/e2e/lab --durations=15 "$@"
}

# Folders in order: those of e2e and integration, whose files take longest, before those of unit.
# One process more than there are CPUs, as many tests wait for something.
run tests -n "$(($(nproc) + 1))" --no-loadscope-reorder -m "not alone$ours" "$@"
together=$?
# Only the files that hold such tests: to collect all takes longer than some of them.
# shellcheck disable=SC2046  # no name of a file has a space
run $(grep -rlw --include='test_*.py' 'mark\.alone' tests | sort) -m "alone$ours" "$@"
alone=$?

# 5: no test was selected, which is fine for one of the two.
[ "$together" -ne 5 ] || [ "$alone" -ne 5 ] || exit 5
[ "$together" -eq 0 ] || [ "$together" -eq 5 ] || exit "$together"
[ "$alone" -eq 0 ] || [ "$alone" -eq 5 ] || exit "$alone"
