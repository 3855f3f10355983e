#!/usr/bin/env bash
# Linux on ARM, emulated: `make dist`, then `tests/aarch64.sh [FOLDER]`. In FOLDER (build/aarch64) it lays Debian's
# Python for arm64; with that pip installs the wheel of dist/ and what it needs; then the golden files are decoded.
# It needs Debian with the package qemu-user, its packages and a package index. It installs nothing on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/aarch64}")
system=$folder/system
engine='onnxruntime<1.28' # 1.28 to 1.32 end in a segmentation fault under qemu 7.2; 1.27 runs
mkdir -p "$folder"/{lists/partial,archives/partial,wheels} "$system"
: > "$folder/status" # no package is there yet
cat > "$folder/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Get::AllowUnauthenticated "false";
Dir::State::status "$folder/status";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder";
EOF
export APT_CONFIG=$folder/apt.conf
apt-get -qq update || true # sources that have nothing for arm64 fail
apt-get -qq install --download-only --yes --no-install-recommends -o Debug::NoLocking=1 python3 libstdc++6
for package in "$folder"/archives/*.deb; do dpkg --extract "$package" "$system"; done
python3 -m pip -q download --no-deps -d "$folder/wheels" pip
packages=$system/usr/lib/python3/dist-packages
python3 -m zipfile -e "$folder"/wheels/pip-*.whl "$packages"
python=(qemu-aarch64 -L "$system" "$(realpath "$system/usr/bin/python3")")
"${python[@]}" -m pip -q install --no-compile --upgrade --target "$folder/installed" --only-binary=:all: \
    "$engine" dist/aecodec-*.whl
PYTHONPATH=$folder/installed:$PWD AECODEC_THREADS=${AECODEC_THREADS:-2} "${python[@]}" -m tests.portability --check
