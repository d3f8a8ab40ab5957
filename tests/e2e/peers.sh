#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh [DIR]: builds the programs that the e2e tier sends to into DIR, from their Go modules: VictoriaLogs, Prometheus and an
# OpenTelemetry Collector. A program that is there in the version below is not built again. The first build takes a quarter of an
# hour on two cores. Without a Go toolchain that is new enough, prints the reason in one line and exits with status 3.
set -euo pipefail
dir=${1:-${SANDPIPER_CACHE:-/var/cache/sandpiper}/peers}
victorialogs=v1.52.1 prometheus=v0.312.0 collector=v0.159.0 # v0.312.0 is Prometheus 3.12.0
go_minimum=1.26.5

# NAME VERSION: true if it is there.
built() { [ -x "$dir/$1" ] && [ "$(cat "$dir/$1.version" 2> /dev/null)" = "$2" ]; }
done_with() { echo "$2" > "$dir/$1.version" && echo "peers: built $1 $2"; }
if built victoria-logs $victorialogs && built prometheus $prometheus && built otelcol $collector; then exit 0; fi

no_go() {
  echo "peers: $*"
  exit 3
}
command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
command -v go > /dev/null || no_go "no Go toolchain here; $go_minimum or later builds them"
have=$(GOTOOLCHAIN=local go env GOVERSION)
[ "$(printf '%s\n' "$go_minimum" "${have#go}" | sort -V | head -1)" = "$go_minimum" ] || no_go "Go ${have#go} is too old; $go_minimum or later builds them"
export GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=mod -buildvcs=false -trimpath"
mkdir -p "$dir"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# MODULE: its sources in the working folder, as a main module, so that what its go.mod replaces is replaced.
sources() {
  local from
  from=$(cd "$work" && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  rm -rf "$work/sources"
  cp -r "$from" "$work/sources"
  chmod -R u+w "$work/sources"
  cd "$work/sources"
}

if ! built victoria-logs $victorialogs; then
  sources github.com/VictoriaMetrics/VictoriaLogs@$victorialogs
  go build -ldflags="-s -w" -o "$dir/victoria-logs" ./app/victoria-logs
  done_with victoria-logs $victorialogs
fi
if ! built prometheus $prometheus; then
  sources github.com/prometheus/prometheus@$prometheus
  go build -tags remove_all_sd -ldflags="-s -w" -o "$dir/prometheus" ./cmd/prometheus
  done_with prometheus $prometheus
fi
if ! built otelcol $collector; then
  cd "$work"
  cat > builder.yaml << YAML
dist: {name: otelcol, output_path: $work/otelcol}
receivers: [{gomod: go.opentelemetry.io/collector/receiver/otlpreceiver $collector}]
exporters:
  - {gomod: go.opentelemetry.io/collector/exporter/debugexporter $collector}
  - {gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter $collector}
YAML
  go run "go.opentelemetry.io/collector/cmd/builder@$collector" --config builder.yaml
  mv "$work/otelcol/otelcol" "$dir/otelcol"
  done_with otelcol $collector
fi
