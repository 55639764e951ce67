#!/bin/sh
# Builds the site from docs/: tools/docs.sh [FOLDER], by default build/docs. A warning is an error.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

site=${1-build/docs}

quietly .venv/docs/bin/sphinx-build --fresh-env --fail-on-warning --keep-going -d "$scratch/doctrees" -b html docs "$site" ||
    die "the pages could not be built (the reasons are above)"
say "the site: $site/index.html"
