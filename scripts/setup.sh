#!/bin/sh
# Makes a checkout ready to run: npm packages, the two that need a step after unpacking, and the
# system's PKCS#11 modules. `npm start` and `npm test` call it first; it may be run by hand at any
# time. With nothing to do it is silent and quick. It changes only node_modules/ and .tap/, and,
# as root and only when something is missing, installs system packages through apt. It never asks.
#
# SWITCHYARD_SYSROOT: looked at instead of / for system libraries (tests/setup.test.ts).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
modules=node_modules
stamp=$modules/.switchyard-setup
sysroot=${SWITCHYARD_SYSROOT:-}

say() { printf 'switchyard: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# npm puts the checkout's own node first in PATH; it is about to be replaced while npm runs on it.
without_own_bin() {
  kept=
  old_ifs=$IFS
  IFS=:
  for part in $PATH; do
    [ "$part" = "$root/$modules/.bin" ] || kept=$kept:$part
  done
  IFS=$old_ifs
  printf '%s' "${kept#:}"
}

full_path=$PATH
PATH=$(without_own_bin)
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || PATH=$full_path
command -v npm >/dev/null 2>&1 || fail 'npm is not installed; install Node.js 20 or later with npm'

case $(uname -m) in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) fail "no packages for processor $(uname -m); needed is x86_64 or aarch64" ;;
esac
[ "$(uname -s)" = Linux ] || fail "needs Linux; this is $(uname -s)"

# Two lines: what npm ci installed, and which Node pkcs11js was last seen to load under. Another
# Node is no reason to install again: that would empty node_modules under a running switch.
installed=$(sha256sum package-lock.json | cut -c1-64)-$arch
running=$(node --version)

packages_ready() {
  [ -f "$stamp" ] && grep -qx "packages $installed" "$stamp" &&
    [ -x "$modules/node-linux-$arch/bin/node" ] && [ -d "$modules/commander" ]
}

native_ready() {
  [ -f "$modules/pkcs11js/build/Release/pkcs11.node" ] && grep -qx "native $running" "$stamp"
}

postgres_ready() {
  native=$modules/@embedded-postgres/linux-$arch/native
  [ -x "$native/bin/postgres" ] && [ -e "$native/lib/libpq.so.5" ] && [ -e "$native/lib/libicuuc.so.60" ]
}

tap_ready() {
  [ -e "$modules/@tapjs/test/test-built/node_modules/@tapjs/core" ] && grep -qx 'tap built' "$stamp"
}

# npx finds the command, and npm's scripts the packaged Node, by these names. npm 9 and 10 remove
# the link to Node that npm 11 makes: they take it for one of the other processor's package.
links_ready() {
  [ -x "$modules/.bin/switchyard" ] &&
    [ "$modules/.bin/node" -ef "$modules/node-linux-$arch/bin/node" ]
}

make_links() {
  ln -sf ../../bin/switchyard.js "$modules/.bin/switchyard"
  ln -sf "../node-linux-$arch/bin/node" "$modules/.bin/node"
}

has_file() {
  for candidate in "$@"; do
    for file in $sysroot$candidate; do # the pattern is expanded here
      [ -e "$file" ] && return 0
    done
  done
  return 1
}

softhsm_ready() {
  has_file '/usr/lib/softhsm/libsofthsm2.so' '/usr/lib/*/softhsm/libsofthsm2.so' \
    '/usr/local/lib/softhsm/libsofthsm2.so' '/usr/lib64/pkcs11/libsofthsm2.so'
}

nss_ready() {
  has_file '/usr/lib/*/libsoftokn3.so' '/usr/lib/*/nss/libsoftokn3.so' '/usr/lib/libsoftokn3.so' \
    '/usr/lib64/libsoftokn3.so'
}

all_ready() {
  packages_ready && native_ready && postgres_ready && tap_ready && links_ready &&
    softhsm_ready && nss_ready
}

# Names of the system packages that are missing, and why they are needed.
need() { wanted="$wanted $1" && reasons="$reasons${reasons:+, }$1 ($2)"; }

missing_system_packages() {
  wanted=
  reasons=
  softhsm_ready || need softhsm2 'the token that keeps the keys'
  nss_ready || need libnss3 'the token that translates PINs inside'
  if ! [ -f "$modules/pkcs11js/build/Release/pkcs11.node" ] || ! packages_ready; then
    command -v python3 >/dev/null 2>&1 || need python3 'to build pkcs11js'
    command -v make >/dev/null 2>&1 || need make 'to build pkcs11js'
    command -v g++ >/dev/null 2>&1 || need g++ 'to build pkcs11js'
  fi
  wanted=${wanted# }
}

apt_install() {
  # shellcheck disable=SC2086 # a list of names
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $wanted \
    </dev/null >"$log" 2>&1
}

system_packages() {
  missing_system_packages
  [ -n "$wanted" ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail "missing: $reasons; install them with this system's package manager, then run it again"
  if [ "$(id -u)" -ne 0 ]; then
    say "missing: $reasons; installing needs root. An administrator runs:"
    printf '  apt-get update && apt-get install -y --no-install-recommends %s\n' "$wanted" >&2
    exit 1
  fi
  say "installing from the system's packages: $wanted"
  apt_install && return 0
  # Only now: the lists are missing or old.
  DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >"$log" 2>&1 ||
    fail "apt-get update failed: $(last_error)"
  apt_install || fail "apt-get could not install $wanted: $(last_error)"
}

# The line of the log that says most: the last that speaks of an error, else the last.
last_error() {
  told=$(grep -E '^E:|[Ee][Rr][Rr](or)?' "$log" | grep -v 'A complete log of this run' | tail -n 1)
  [ -n "$told" ] || told=$(grep -v '^ *$' "$log" | tail -n 1)
  printf '%s' "$told"
}

npm_quiet() { npm --no-audit --no-fund --loglevel=error "$@" </dev/null >"$log" 2>&1; }

note() { # replaces the line that starts with the first word
  key=${1%% *}
  { [ ! -f "$stamp" ] || grep -v "^$key " "$stamp" || true; } >"$stamp.new"
  printf '%s\n' "$1" >>"$stamp.new"
  mv "$stamp.new" "$stamp"
}

install_packages() {
  say 'installing npm packages (once)'
  rm -f "$stamp"
  npm_quiet ci --ignore-scripts --include=dev --include=optional ||
    fail "npm ci failed: $(last_error)"
  [ -x "$modules/node-linux-$arch/bin/node" ] || fail "npm ci did not bring node-linux-$arch"
  note "packages $installed"
}

build_native() {
  if node -e 'require("pkcs11js")' >/dev/null 2>&1; then
    note "native $running"
    return 0
  fi
  say 'building pkcs11js (once)'
  # Node's headers come inside the packaged Node: nothing is downloaded.
  export npm_config_nodedir="$root/$modules/node-linux-$arch"
  npm_quiet rebuild --ignore-scripts=false pkcs11js ||
    fail "building pkcs11js failed: $(last_error)"
  node -e 'require("pkcs11js")' >"$log" 2>&1 || fail "pkcs11js does not load: $(last_error)"
  note "native $running"
}

link_postgres() {
  npm_quiet rebuild --ignore-scripts=false "@embedded-postgres/linux-$arch" ||
    fail "unpacking PostgreSQL failed: $(last_error)"
  postgres_ready ||
    fail "the package @embedded-postgres/linux-$arch is incomplete; remove $modules and try again"
}

# tap loads its plugins from a class it generates; .taprc switches three of them off.
build_tap() {
  PATH=$root/$modules/.bin:$PATH tap build </dev/null >"$log" 2>&1 ||
    fail "tap build failed: $(last_error)"
  note 'tap built'
}

all_ready && exit 0

log=$(mktemp "${TMPDIR:-/tmp}/switchyard-setup.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A second setup of the same checkout waits for the first, then finds nothing to do.
if command -v flock >/dev/null 2>&1; then
  exec 9<package-lock.json
  flock 9
fi

# A home that cannot be written (system accounts) must not stop npm.
if [ -z "${npm_config_cache:-}" ] && ! { [ -d "${HOME:-}" ] && [ -w "${HOME:-}" ]; }; then
  export npm_config_cache="$root/.switchyard/npm-cache"
fi

system_packages
packages_ready || install_packages
links_ready || make_links
native_ready || build_native
postgres_ready || link_postgres
tap_ready || build_tap
all_ready || fail 'something is still missing; remove node_modules and try again'
