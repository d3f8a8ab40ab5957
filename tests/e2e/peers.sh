#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh [DIR]: builds the programs that the e2e tier sends to, from their Go modules, into DIR:
# VictoriaLogs, Prometheus and an OpenTelemetry Collector. A program that is there in the version
# below is not built again. The first build takes a quarter of an hour on two cores. Without a Go
# toolchain that is new enough, it prints the reason in one line and exits with status 3.
set -euo pipefail
dir=${1:-${SANDPIPER_CACHE:-/var/cache/sandpiper}/peers}
victorialogs=v1.52.1
prometheus=v0.312.0 # Prometheus 3.12.0
collector=v0.159.0
go_minimum=1.26.5

# built NAME VERSION: true if DIR has this version.
built() { [ -x "$dir/$1" ] && [ "$(cat "$dir/$1.version" 2> /dev/null)" = "$2" ]; }
done_with() { echo "$2" > "$dir/$1.version" && echo "peers: built $1 $2"; }
if built victoria-logs $victorialogs && built prometheus $prometheus &&
  built otelcol $collector; then
  exit 0
fi

no_go() {
  echo "peers: $*"
  exit 3
}
command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
command -v go > /dev/null || no_go "there is no Go toolchain; $go_minimum or later builds them"
have=$(GOTOOLCHAIN=local go env GOVERSION)
oldest=$(printf '%s\n' "$go_minimum" "${have#go}" | sort -V | head -1)
[ "$oldest" = "$go_minimum" ] || no_go "Go ${have#go} is too old; $go_minimum or later builds them"
export GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=mod -buildvcs=false -trimpath"
mkdir -p "$dir"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# sources MODULE: copies the module's sources and enters them. As the main module, the replacements
# in its go.mod apply.
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
