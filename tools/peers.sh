#!/usr/bin/env bash
# Installs the programs of others that the tests run against, on Debian 12 as root; what is there already is left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DEBIAN_FRONTEND=noninteractive

packages=(python3 python3-venv make gcc fetchmail swaks gsasl libmail-deliverystatus-bounceparser-perl)
libraries=(libicu72 libdb5.3 libssl3 libgnutls30 libpcre2-8-0 libidn12 libidn2-0 libgnutls-dane0 libnsl2)

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "not root on Debian: tests of peers that are not there are skipped"
  exit 0
fi
if ! dpkg -s "${packages[@]}" "${libraries[@]}" >/dev/null 2>&1; then
  apt-get update -q
  apt-get install -q -y --no-install-recommends "${packages[@]}" "${libraries[@]}"
fi
# Postfix and Exim are unpacked and not installed: no MTA starts on this machine.
unpack() { # PACKAGE FOLDER
  [ -d ".tools/$2" ] || (mkdir -p .tools/draft && cd .tools/draft && (apt-get download -q "$1" || (apt-get update -q && apt-get download -q "$1")) \
    && dpkg-deb -x "$1"_*.deb "../$2.new" && mv "../$2.new" "../$2") || echo "no $1: its tests are skipped"
  rm -rf .tools/draft
}
unpack postfix postfix
unpack exim4-daemon-light exim
unpack prometheus prometheus # for promtool, which is on its own
# ODMR came into Exim after Debian 12: that one runs in a root of its own, with the libraries of its own time.
exim_with_atrn() {
  local apt=$PWD/.tools/draft
  mkdir -p "$apt"/etc/apt/{preferences.d,apt.conf.d,sources.list.d,trusted.gpg.d} "$apt"/var/lib/{dpkg,apt/lists/partial} "$apt"/var/cache/apt/archives/partial .tools/exim-atrn.new
  : >"$apt/var/lib/dpkg/status"
  local mirror
  mirror=$( (grep -rhoE '(https?|file|mirror\+[a-z]+)://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true) | grep -v snapshot | head -1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$apt/etc/apt/sources.list"
  local get=(apt-get -q -o "Dir=$apt" -o "Dir::State::status=$apt/var/lib/dpkg/status" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  "${get[@]}" update >/dev/null && "${get[@]}" install -y --no-install-recommends --download-only exim4-daemon-light >/dev/null
  for deb in "$apt"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$deb" .tools/exim-atrn.new; done
  for link in bin sbin lib lib64; do [ -e ".tools/exim-atrn.new/$link" ] || ln -s "usr/$link" ".tools/exim-atrn.new/$link"; done
  grep -E '^(root|Debian-exim):' /etc/passwd >.tools/exim-atrn.new/etc/passwd
  grep -E '^(root|Debian-exim):' /etc/group >.tools/exim-atrn.new/etc/group
  mkdir -p .tools/exim-atrn.new/{dev,tmp} && mknod -m 666 .tools/exim-atrn.new/dev/null c 1 3 || return 1
  echo "127.0.0.1 localhost" >.tools/exim-atrn.new/etc/hosts
  (chroot .tools/exim-atrn.new /usr/sbin/exim4 -bV 2>/dev/null || true) | grep -q "^Exim version" && mv .tools/exim-atrn.new .tools/exim-atrn
}
id Debian-exim >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin Debian-exim # Exim wants its user
[ -d .tools/exim-atrn ] || (set -e; exim_with_atrn) || echo "no Exim with ODMR: its test is skipped"
rm -rf .tools/draft .tools/exim-atrn.new
