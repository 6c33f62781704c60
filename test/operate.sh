#!/usr/bin/env bash
# Replays docs/operate.md on a clean clone of this repository: every command must print what stands there. It needs Go, git,
# curl, and Prometheus with promtool, and the ports 17070, 17071 and 17090 of this machine. With -rewrite the transcript of this
# work tree is written anew, as it comes out now.
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
$test -v | tee "$clone/log"
grep -q -e '--- PASS: TestOperate' "$clone/log" # go test passes where there is no such test
