#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what building, testing and the demo need on Debian 12: the Debian packages below and a Python environment with
# the pinned packages of scripts/requirements.txt. Installs only what is missing, so a second run takes a second.
#
# usage: scripts/setup.sh [VENV]          (make setup; VENV is .venv in the root of the checkout by default)
set -eu

packages="
  g++ cmake ninja-build ccache
  python3 python3-dev python3-venv
  libprotozero-dev libflatbuffers-dev flatbuffers-compiler libxxhash-dev
  libfmt-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libzip-dev libstb-dev
  libgtest-dev libgmock-dev
  libboost1.81-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libssl-dev rapidjson-dev zlib1g-dev pkg-config openssl
"

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${1:-$root/.venv}
# A python3 earlier in PATH may be another version than the headers of python3-dev, and the module would not load there.
python=/usr/bin/python3

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf 'setup:   %s\n' "$line" >&2; done
  exit 1
}

missing=
for package in $packages; do
  case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
    installed) ;;
    *) missing="$missing $package" ;;
  esac
done

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 ||
    fail "this system has no apt-get; Carnot is set up on Debian 12" "install the equivalents of:$missing"
  if [ "$(id -u)" = 0 ]; then
    sudo=
  elif command -v sudo >/dev/null 2>&1; then
    # Without a terminal nobody can type a password: fail with the reason instead of hanging.
    if [ -t 0 ]; then sudo=sudo; else sudo="sudo -n"; fi
  else
    fail "packages are missing and this is neither root nor a system with sudo" \
      "run as root: apt-get install$missing"
  fi
  say "installing Debian packages:$missing"
  log=$(mktemp)
  apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null
  }
  if ! apt update || ! apt install --no-install-recommends $missing; then
    tail -n 15 "$log" >&2
    fail "apt-get failed (above); full log: $log" "once the cause is gone, run: make setup" \
      "or install by hand: apt-get install$missing"
  fi
  rm -f "$log"
fi

[ -x "$python" ] || fail "$python is missing" "apt-get install python3 python3-dev python3-venv"
requirements=$root/scripts/requirements.txt
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  say "installing Python packages into $venv"
  "$venv/bin/python" -c 'import pip' 2>/dev/null || "$python" -m venv --clear "$venv" ||
    fail "could not create the Python environment $venv" "remove that folder and run: make setup"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --retries 3 \
    -r "$requirements" </dev/null ||
    fail "pip could not install scripts/requirements.txt (above)" "PyPI or a mirror of it (PIP_INDEX_URL) must be reachable"
  cp "$requirements" "$venv/requirements.txt"
fi
touch "$venv/.stamp"
say "ready"
