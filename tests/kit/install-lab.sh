#!/usr/bin/env bash
# Installs what the lab needs (Debian, Ubuntu; as root), if anything is missing.
# Where it cannot: says so and succeeds (those tests are skipped), but fails where CI=true.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

# command, package that brings it
readonly WANTED=(
    "wireguard-go wireguard-go" "wg wireguard-tools" "tcpdump tcpdump" "nft nftables"
    "iptables iptables" "ip6tables iptables" "ip iproute2" "ping iputils-ping" "curl curl"
    "sysctl procps" "mount mount" "ssh openssh-client"
    "haproxy haproxy"
)

say() { echo "install-lab: $*" >&2; }

give_up() {
    say "$*: all tests with real clients in network namespaces will be SKIPPED"
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

missing() {
    local pair
    for pair in "${WANTED[@]}"; do
        command -v "${pair% *}" >/dev/null || echo "${pair#* }"
    done | sort -u
}

[ "$(id -u)" = 0 ] || give_up "NOT ROOT, and namespaces need root"
[ -c /dev/net/tun ] || give_up "NO /dev/net/tun"
mapfile -t packages < <(missing)
if [ "${#packages[@]}" != 0 ]; then
    command -v apt-get >/dev/null || give_up "NO apt-get to install ${packages[*]}"
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2 ||
        give_up "apt-get CANNOT INSTALL ${packages[*]}"
fi
say "all there"
