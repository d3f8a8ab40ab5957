#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# render.sh [FOLDER]: the plain manifests, for those who do not use Helm, from the chart: one for each of its files of values. HELM names another helm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here} chart=$here/../helm/sandpiper
helm=${HELM:-helm}
render() { # NAME VALUES…
  {
    echo "# Made by deploy/kubernetes/render.sh from the Helm chart. kubectl apply -f THIS"
    cat "$here/namespace.yaml"
    echo "---"
    "$helm" template sandpiper "$chart" --kube-version 1.30.0 --namespace sandpiper "${@:2}"
  } > "$out/$1.yaml"
}
render sandpiper
for values in "$chart"/values-*.yaml; do
  name=$(basename "$values" .yaml)
  render "sandpiper-${name#values-}" --values "$values"
done
