#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chart_tools.sh [DIR]: installs helm, from its Go module, and kubernetes-validate, which includes
# the schemas of the API, into DIR. A tool that is there in the version below is not installed
# again. Without a Go toolchain that is new enough, it prints the reason in one line and exits with
# status 3.
set -euo pipefail
dir=${1:-${SANDPIPER_CACHE:-/var/cache/sandpiper}/chart-tools}
helm=v3.21.4
validate=1.37.0
go_minimum=1.26.0

no_tools() {
  echo "chart tools: $*"
  exit 3
}
mkdir -p "$dir"
if [ "$(cat "$dir/helm.version" 2> /dev/null)" != $helm ]; then
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || no_tools "there is no Go toolchain; $go_minimum or later builds helm"
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  oldest=$(printf '%s\n' "$go_minimum" "${have#go}" | sort -V | head -1)
  [ "$oldest" = "$go_minimum" ] ||
    no_tools "Go ${have#go} is too old; $go_minimum or later builds helm"
  export GOTOOLCHAIN=local GOWORK=off GOBIN=$dir
  go install -trimpath -ldflags="-s -w" "helm.sh/helm/v3/cmd/helm@$helm"
  echo $helm > "$dir/helm.version"
fi
if [ "$(cat "$dir/validate.version" 2> /dev/null)" != $validate ]; then
  python3 -m venv "$dir/venv" 2> /dev/null || no_tools "python3-venv is not installed"
  "$dir/venv/bin/pip" install --quiet "kubernetes-validate==$validate"
  echo $validate > "$dir/validate.version"
fi
