#!/bin/sh
# pytest with these arguments. Tests that fail are run once more with no other test beside them, and what fails then
# fails the run. A test that passed only then is named: a busy machine showed a fault of that test, or of the product.
set -u
cd "$(dirname "$0")/.." || exit 1

.venv/bin/pytest "$@"
status=$?
[ "$status" -eq 1 ] || exit "$status"
echo "== Once more, with no other test beside them: the tests that failed"
.venv/bin/pytest "$@" -n 0 --last-failed --last-failed-no-failures=none --maxfail=1 || exit 1
echo "== Passed, but only with no other test beside them: the tests named FAILED or ERROR above. Fix that."
