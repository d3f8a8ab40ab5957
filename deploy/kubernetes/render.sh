#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# render.sh [FOLDER]: renders the Helm chart to plain manifests, one for each of its values files.
# HELM in the environment names another helm program.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
chart=$here/../helm/sandpiper
helm=${HELM:-helm}
render() { # NAME VALUES…
  {
    echo "# Generated from the Helm chart by deploy/kubernetes/render.sh. Use kubectl apply -f."
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
