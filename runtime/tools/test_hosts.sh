#!/bin/sh
# Installs the wheels beside every TFLite host that they support, and checks the results against
# Larq Compute Engine's.
#     tools/test_hosts.sh WHEELS ENVIRONMENTS [--short]
# WHEELS is the output directory of build_wheels.sh. ENVIRONMENTS is a directory for the hosts and
# is kept for the next time. The x86_64 hosts need Python 3.11 (PYTHON names it), the aarch64 hosts
# Debian and root: see setup_aarch64.sh. --short tests one host per processor.
set -eu

wheels=$(cd "$1" && pwd)
mkdir -p "$2"
environments=$(cd "$2" && pwd)
short=${3:-}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
# Away from the sources, because the wheels are to be tested.
cp "$here/tests/check_host.py" "$here/tests/golden.npz" "$environments"

quietly() {  # command; shows what it prints to standard error only if it fails
  "$@" 2> "$environments/log.$$" || { cat "$environments/log.$$" >&2; exit 1; }
  rm -f "$environments/log.$$"
}

x86() {  # name, requirements
  environment=$environments/$1; shift
  if [ ! -e "$environment/complete" ]; then
    "$python" -m venv "$environment"
    "$environment/bin/pip" install -q --disable-pip-version-check "$@" 2> /dev/null
    touch "$environment/complete"
  fi
  "$environment/bin/pip" install -q --disable-pip-version-check --no-deps --force-reinstall \
    "$wheels"/*x86_64.whl
  quietly "$environment/bin/python" "$environments/check_host.py" $short
}

aarch64() {  # name
  arm=$environments/aarch64
  [ -e "$arm/$1/complete" ] || quietly "$here/tools/setup_aarch64.sh" "$arm" "$1" > /dev/null
  rm -rf "$arm/package"
  "$python" -m zipfile -e "$wheels"/*aarch64.whl "$arm/package"
  PYTHONPATH=$arm/package quietly "$arm/python" "$1" "$environments/check_host.py" $short
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
  echo "left out: the hosts on aarch64, which need Debian and root"
fi
