#!/usr/bin/env bash
# Linux on ARM, emulated: `make dist`, then `tests/aarch64.sh [FOLDER]`. In FOLDER (build/aarch64) it lays Debian's
# Python for arm64; with that pip installs the wheel of dist/ and what it needs; then the golden files are decoded.
# It needs Debian with the package qemu-user, its packages and a package index. It installs nothing on the machine.
# PYTHON=python3.14 takes another Python, SOURCES=/path/sources.list the packages of another release of Debian, and
# QEMU=/path/qemu-aarch64 another emulator.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/aarch64}")
system=$folder/system
qemu=${QEMU:-qemu-aarch64}
engine=onnxruntime
case $("$qemu" --version) in
    *' 7.2'*) engine='onnxruntime<1.28' ;; # 1.28 to 1.32 end in a segmentation fault there; 1.32 runs from 10.0 on
esac
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
apt=(apt-get -qq ${SOURCES:+-o Dir::Etc::SourceParts=- -o "Dir::Etc::SourceList=$SOURCES"})
"${apt[@]}" update || true # sources that have nothing for arm64 fail
"${apt[@]}" install --download-only --yes --no-install-recommends -o Debug::NoLocking=1 \
    "${PYTHON:-python3}" libstdc++6
for package in "$folder"/archives/*.deb; do dpkg --extract "$package" "$system"; done
[ -e "$system/lib" ] || ln -s usr/lib "$system/lib" # newer releases have all in /usr
# A processor that exists: newer emulators else add SME, where numpy 2.5.5 gives NaN for products of float64.
python=("$qemu" -cpu neoverse-n1 -L "$system" "$(realpath "$system/usr/bin/${PYTHON:-python3}")")
version=$("${python[@]}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# The machine's own pip downloads, as connections break under the emulator when the machine is busy. It would ask
# for what this machine needs: so the wheels are named here, and the emulated pip chooses among them by the markers.
for platform in manylinux2014 manylinux_2_27 manylinux_2_28; do platforms+=(--platform "${platform}_aarch64"); done
python3 -m pip -q download -d "$folder/wheels" --only-binary=:all: --python-version "$version" "${platforms[@]}" \
    pip "$engine" numpy pillow threadpoolctl typer
PYTHONPATH=$(echo "$folder"/wheels/pip-*.whl) "${python[@]}" -m pip -q install --no-compile --upgrade \
    --target "$folder/installed" --no-index --find-links "$folder/wheels" dist/aecodec-*.whl
export PYTHONPATH=$folder/installed:$PWD AECODEC_THREADS=${AECODEC_THREADS:-2}
"${python[@]}" -W error -m tests.portability --check
