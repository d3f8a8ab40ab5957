#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ruff.sh DIR ARGUMENTS…: runs ruff with these arguments. Debian 12 does not package ruff: the
# version below is installed from PyPI into DIR, once.
set -euo pipefail
dir=$1
version=0.17.6
shift
if [ "$(cat "$dir/ruff.version" 2> /dev/null)" != $version ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet "ruff==$version"
  echo $version > "$dir/ruff.version"
fi
exec "$dir/venv/bin/ruff" "$@"
