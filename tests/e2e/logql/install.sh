#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install.sh [DIR]: installs Grafana's grammar of LogQL from npm into DIR, in the versions of
# package-lock.json. A grammar that is there in these versions is not installed again. Without node
# or npm, or if DIR cannot be written, it prints the reason in one line and exits with status 3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SANDPIPER_CACHE:-/var/cache/sandpiper}/logql}

cannot_install() {
  echo "logql: $*"
  exit 3
}
command -v node > /dev/null || cannot_install "node is not installed; deploy/setup.sh installs it"
if cmp -s "$here/package-lock.json" "$dir/installed.json"; then exit 0; fi
command -v npm > /dev/null || cannot_install "npm is not installed; deploy/setup.sh installs it"
if ! mkdir -p "$dir" 2> /dev/null || [ ! -w "$dir" ]; then
  cannot_install "$dir cannot be written"
fi
cp "$here/package.json" "$here/package-lock.json" "$dir/"
(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null)
cp "$here/package-lock.json" "$dir/installed.json"
echo "logql: installed the grammar"
