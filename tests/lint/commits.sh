#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# commits.sh BASE: the subjects of the commits since BASE are "area: imperative summary", in at
# most 72 columns. Merge commits are left out.
set -euo pipefail
bad=$(git log --no-merges --format='%h %s' "$1"..HEAD |
  awk '{ subject = substr($0, index($0, " ") + 1) }
       length(subject) > 72 || subject !~ /^[A-Za-z0-9_.\/, -]+: [a-z]/')
[ -z "$bad" ] || {
  printf 'not "area: imperative summary" in 72 columns:\n%s\n' "$bad"
  exit 1
}
