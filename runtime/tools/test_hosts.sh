#!/bin/sh
# Installs the wheels beside every TFLite host they promise to work in, and checks the results against Larq Compute Engine's.
#     tools/test_hosts.sh WHEELS ENVIRONMENTS [--short]
# WHEELS is where build_wheels.sh put them; ENVIRONMENTS a directory for the hosts, kept for the next time. The x86_64 hosts need
# Python 3.11 (PYTHON names it), the aarch64 hosts Debian and root: setup_aarch64.sh. --short: one of each.
set -eu

wheels=$(cd "$1" && pwd)
mkdir -p "$2"
environments=$(cd "$2" && pwd)
short=${3:-}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
cp "$here/tests/check_host.py" "$here/tests/golden.npz" "$environments"  # away from the sources: the wheels are to be tested

x86() {  # name, requirements
  name=$1; shift
  if [ ! -e "$environments/$name/complete" ]; then
    "$python" -m venv "$environments/$name"
    "$environments/$name/bin/pip" install -q --disable-pip-version-check "$@" 2>/dev/null
    touch "$environments/$name/complete"
  fi
  "$environments/$name/bin/pip" install -q --disable-pip-version-check --no-deps --force-reinstall "$wheels"/*x86_64.whl
  "$environments/$name/bin/python" "$environments/check_host.py" $short 2> "$environments/log" || { cat "$environments/log" >&2; exit 1; }
}

aarch64() {  # name
  arm=$environments/aarch64
  [ -e "$arm/$1/complete" ] || "$here/tools/setup_aarch64.sh" "$arm" "$1" > "$environments/log" 2>&1 || { cat "$environments/log" >&2; exit 1; }
  rm -rf "$arm/package"
  "$python" -m zipfile -e "$wheels"/*aarch64.whl "$arm/package"
  PYTHONPATH=$arm/package "$arm/python" "$1" "$environments/check_host.py" $short 2> "$environments/log" || { cat "$environments/log" >&2; exit 1; }
}

x86 litert-2.3 ai-edge-litert==2.3.0
[ -n "$short" ] || x86 litert-2.0 ai-edge-litert==2.0.3
[ -n "$short" ] || x86 litert-1.4 ai-edge-litert==1.4.0
[ -n "$short" ] || x86 litert-1.0 ai-edge-litert==1.0.1 "numpy<2"
[ -n "$short" ] || x86 tflite tflite-runtime==2.14.0 "numpy<2"
[ -n "$short" ] || x86 tensorflow tensorflow-cpu==2.15.1
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && command -v dpkg > /dev/null; then
  aarch64 tflite
  [ -n "$short" ] || aarch64 litert-1.4
  [ -n "$short" ] || aarch64 litert-2.0
  [ -n "$short" ] || aarch64 litert-2.3
else
  echo "skipped: the hosts on aarch64 need Debian and root"
fi
