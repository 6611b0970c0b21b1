#!/bin/sh
# CI of the runtime: builds it, tests it against Larq Compute Engine, runs the C++ tests and fuzzers
# under sanitizers, compiles without warnings, tests wheels in one host on x86_64 and one on
# aarch64, and programs in C, C++ and Java. Parts that do not need each other run side by side.
#     tools/ci.sh PYTHON       (PYTHON has TensorFlow, Larq Compute Engine and pytest)
# As root it installs its tools with apt. With CI=true a missing tool, and a test that is skipped
# for a reason that tests/ci_skips.py does not allow, is a failure; without, what needs the tool is
# left out.
set -eu

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/.."
case ${CI:-} in true | 1) in_ci=yes ;; *) in_ci= ;; esac
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=
pids=

has() { command -v "$1" > /dev/null; }

install_tools() {
  packages="cmake make g++ clang-14 libclang-rt-14-dev libstdc++-12-dev g++-aarch64-linux-gnu
    qemu-user-static python3"
  has npm || packages="$packages npm"
  has javac || packages="$packages default-jdk-headless"
  apt-get update || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
}

# True if all tools are there. If not, says so, and in CI ends.
needs() {  # part, tools
  part=$1; shift
  missing=
  for tool in "$@"; do has "$tool" || missing="$missing $tool"; done
  [ -n "$missing" ] || return 0
  echo "left out: $part, because of missing tools:$missing" | tee -a "$logs/left_out"
  [ -z "$in_ci" ] || { echo "In CI that is a failure: install the tools."; exit 1; }
  return 1
}

# Runs a function in the background. Its output goes to a log, its duration to a file.
start() {  # part
  (
    begin=$(date +%s)
    trap 'echo $(($(date +%s) - begin)) > "$logs/$1.seconds"' EXIT
    "run_$1"
  ) > "$logs/$1.log" 2>&1 &
  pids="$pids $1:$!"
}

finish() {  # all parts that were started
  for pair in $pids; do
    part=${pair%:*}
    status=0
    wait "${pair#*:}" || status=$?
    echo "== $part: $(cat "$logs/$part.seconds") s"
    cat "$logs/$part.log"
    [ "$status" = 0 ] || failed="$failed $part"
  done
  pids=
}

run_tests() {
  make test PYTHON="$python"
  PYTHONPATH=.:tests:.. "$python" -m pytest -q -p ci_skips ../tests/tflite/test_interpreter.py
}

run_sanitizers() { make sanitize CLANG=clang++-14 FUZZ_SECONDS=20; }

run_wheels() {
  make test-aarch64
  tools/build_wheels.sh "$python" build/quick --quick
  PYTHON=$python tools/test_hosts.sh build/quick build/hosts --short
  PYTHON=$python tools/test_programs.sh build/quick build/programs
}

# The other parts compile everything for x86_64, with GCC and Clang.
run_warnings() { make warnings CLANG=clang++-14 MACHINES=aarch64; }

run_fuzz_host() {
  make fuzz-host PYTHON=build/hosts/litert-2.3/bin/python CLANG=clang++-14 FUZZ_SECONDS=20
}

begin=$(date +%s)
if [ "$(id -u)" = 0 ]; then
  install_tools > "$logs/apt" 2>&1 || { tail -5 "$logs/apt"; echo "apt-get failed, see above."; }
fi
needs "the runtime" cmake make g++ || exit 0
sanitizers=
wheels=
! needs "the sanitizers" clang++-14 || sanitizers=yes
! needs "the wheels" aarch64-linux-gnu-g++ qemu-aarch64-static || wheels=yes
needs "the programs in C, C++ and Java" npm javac || true
echo "Tools: $(($(date +%s) - begin)) s"

start tests
[ -z "$sanitizers" ] || start sanitizers
[ -z "$wheels" ] || start wheels
finish
[ -z "$sanitizers" ] || [ -z "$wheels" ] || { start warnings; start fuzz_host; }
finish

cat "$logs"/*.log > "$logs/all"
grep '^left out: ' "$logs/all" >> "$logs/left_out" || true
if [ -s "$logs/left_out" ] && [ -n "$in_ci" ]; then failed="$failed left-out"; fi
echo "== Summary: $(($(date +%s) - begin)) s"
for file in "$logs"/*.seconds; do echo "$(basename "$file" .seconds): $(cat "$file") s"; done
cat "$logs/left_out" 2> /dev/null || true
grep -i '^skipped[:,]' "$logs/all" || echo "No test was skipped."
[ -z "$failed" ] || { echo "Failed:$failed"; exit 1; }
