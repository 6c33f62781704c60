#!/usr/bin/env bash
# Replays docs/operate.md on a clean clone of this repository: every command must print what stands there. It needs Go, git,
# curl, and Prometheus with promtool. With -rewrite the transcript of this work tree is written anew, as it comes out now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
test='go test -count=1 -tags operate ./cmd/gabion -run TestOperate'
if [ "${1-}" = -rewrite ]; then
  exec $test -rewrite
fi
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone -q . "$clone"
cd "$clone"
$test
