#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chart_tools.sh [DIR]: puts helm, from its Go module, and kubernetes-validate, which brings the API's schemas along, into DIR. Once: what is there
# in the version below stays. Where there is no Go toolchain that is new enough: status 3, and one line that says so.
set -euo pipefail
dir=${1:-${SANDPIPER_CACHE:-/var/cache/sandpiper}/chart-tools}
helm=v3.21.4 validate=1.37.0
go_minimum=1.26.0

no_tools() {
  echo "chart tools: $*"
  exit 3
}
mkdir -p "$dir"
if [ "$(cat "$dir/helm.version" 2> /dev/null)" != $helm ]; then
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || no_tools "no Go toolchain here; $go_minimum or later builds helm"
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  [ "$(printf '%s\n' "$go_minimum" "${have#go}" | sort -V | head -1)" = "$go_minimum" ] || no_tools "Go ${have#go} is too old; $go_minimum or later builds helm"
  GOTOOLCHAIN=local GOWORK=off GOBIN=$dir go install -trimpath -ldflags="-s -w" "helm.sh/helm/v3/cmd/helm@$helm"
  echo $helm > "$dir/helm.version"
fi
if [ "$(cat "$dir/validate.version" 2> /dev/null)" != $validate ]; then
  python3 -m venv "$dir/venv" 2> /dev/null || no_tools "python3-venv is not installed"
  "$dir/venv/bin/pip" install --quiet "kubernetes-validate==$validate"
  echo $validate > "$dir/validate.version"
fi
