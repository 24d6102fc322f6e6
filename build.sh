#!/usr/bin/env bash
# Builds ./handler, and has it check host.json and each function.json.
#
#   ./build.sh              for Azure: an executable for x86-64 Linux with no dynamic library, because
#                           the C library of an instance is not that of the machine it is built on
#   ./build.sh --dev        for `func start` on this machine: a quick build, without optimization
#   ./build.sh --tools      builds nothing: tells what is missing to build for Azure
#   ./build.sh --functions  builds nothing: prints a line for each function, as `handler --check` does
#
# On x86-64 Linux it needs Rust and a C toolchain. Elsewhere a build for Azure also needs
# cargo-zigbuild and zig. On one kind of machine the same sources and toolchain give the same file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export LC_ALL=C
# `handler --check` is to read the files that lie here.
unset FUNCTIONS_APP_ROOT_PATH

fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}

# Whether what is built for Azure also runs on this machine.
is_at_home() { [[ $(uname -sm) == 'Linux x86_64' ]]; }

need_tools() {
  if is_at_home; then
    command -v cc >/dev/null ||
      fail 'cc, a C compiler, is missing: sudo apt-get install build-essential'
  else
    command -v cargo-zigbuild >/dev/null ||
      fail "on $(uname -sm) this cross-compiles with cargo-zigbuild, which is missing:" \
        'cargo install cargo-zigbuild && pip3 install ziglang &&' \
        'rustup target add x86_64-unknown-linux-musl'
  fi
}

# Paths that .funcignore can't keep out of what is published (it says why): those that go on from
# one of its patterns, and those without any letter, digit or underscore.
refuse_strays() {
  local strays
  strays=$(find . -path ./.git -prune -o -path './target/*/*' -prune -o ! -type d \( \
    -path './handler?*' -o -path './host.json?*' -o -path './*/function.json?*' \
    -o ! -path '*[0-9A-Za-z_]*' \) -print)
  [[ -z $strays ]] ||
    fail 'these files could be published along with the handler: move them away or rename' \
      "them: ${strays//$'\n'/, }"
}

# Core Tools gives the executable bits to the file of exactly this name. So "./handler" would be
# published as a file that the host can't start (measured).
refuse_dot_slash() {
  ! tr -d '[:space:]' <host.json | grep -q '"defaultExecutablePath":"\./' ||
    fail 'host.json: in "defaultExecutablePath" leave out the "./": with it, Core Tools publishes' \
      'the executable without its executable bits, and the host could not start it'
}

# A running ./handler can be replaced, but not written to. `func start` starts the new one.
install() {
  cp "$1" target/handler.new
  mv -f target/handler.new handler
}

# Leaves the name of the built executable in $built.
build() {
  local rustflags=(-C target-feature=+crt-static) cargo=(cargo build) target sources directory
  if is_at_home; then
    target=x86_64-unknown-linux-gnu
  else
    # A static glibc is only at hand on Linux; zig brings musl and a linker.
    target=x86_64-unknown-linux-musl
    cargo=(cargo zigbuild)
  fi

  # The messages of panics name source files. These flags cut the folders of this machine out of
  # the names.
  cargo fetch --locked --quiet --target "$target"
  sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
  for directory in "$sources"/*/; do
    rustflags+=("--remap-path-prefix=$directory=")
  done
  rustflags+=("--remap-path-prefix=$PWD/=" "--remap-path-prefix=$(rustc --print sysroot)/=")

  # With --target the build has a folder of its own, and leaves that of `cargo build` as it is.
  # The flags are joined by the one character that no path has in it.
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf %s "${rustflags[*]}") "${cargo[@]}" \
    --release --locked --package random-number-function --bin handler \
    --target "$target" --target-dir target
  built=target/$target/release/handler
}

# number FILE OFFSET BYTES: an unsigned little-endian number.
number() {
  od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' \n'
}

# Whether the file is what an instance can run: see elf(5) for the offsets.
check() {
  local file=$1 headers size count index
  [[ -x $file ]] || fail "$file can't be executed"
  [[ $(head -c 5 "$file") == $'\x7fELF\x02' ]] || fail "$file is no 64-bit ELF file"
  [[ $(number "$file" 18 2) == 62 ]] || fail "$file is not for x86-64"
  headers=$(number "$file" 32 8) size=$(number "$file" 54 2) count=$(number "$file" 56 2)
  for ((index = 0; index < count; index++)); do
    [[ $(number "$file" $((headers + index * size)) 4) != 3 ]] ||
      fail "$file asks for an interpreter, so it is not statically linked"
  done
}

# A line for each function: its name, methods, route and level, with a tab between two. Fails if
# host.json or a function.json is wrong.
functions() {
  if is_at_home; then
    ./handler --check
  else
    cargo run --quiet --locked --bin handler -- --check
  fi
}

command -v cargo >/dev/null || fail 'cargo is missing: install Rust, https://rustup.rs'
case $* in
  '') ;;
  --dev)
    cargo build --locked --bin handler --target-dir target
    install target/debug/handler
    printf 'for this machine alone: %s\n' "$PWD/handler"
    exit
    ;;
  --tools)
    need_tools
    exit
    ;;
  --functions)
    functions
    exit
    ;;
  *) fail "$*: give --dev, --tools, --functions, or no argument" ;;
esac
need_tools
refuse_strays
refuse_dot_slash
build
check "$built"
install "$built"
functions >/dev/null
printf '%s bytes, static, for x86-64 Linux: %s\n' "$(wc -c <handler | tr -d ' ')" "$PWD/handler"
