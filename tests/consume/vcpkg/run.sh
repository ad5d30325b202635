#!/usr/bin/env bash
# run.sh <project> <build folder>: installs the overlay port, and builds the find_package consumer with what it installed.
# Where vcpkg is missing, port.cmake plays its part.
set -eu
packages=$2/packages
rm -rf "$packages" "$2/consumer"
mkdir -p "$2"

if command -v vcpkg >/dev/null; then
    # The checkout's path is not part of the port's hash: without --no-binarycaching an older package might come.
    (cd "$2" && vcpkg install basic-cluster --classic --overlay-ports="$1/.vcpkg/ports" --x-install-root="$packages" \
        --no-binarycaching --enforce-port-checks)
    config=$(echo "$packages"/*/share/basic_cluster/basic_cluster-config.cmake)
    prefix=${config%/share/*}
else
    echo "vcpkg is not installed: the portfile runs with functions that do what vcpkg's do"
    cmake -D PROJECT="$1" -D CURRENT_PACKAGES_DIR="$packages" -D OUT="$2" -P "$1/tests/consume/vcpkg/port.cmake"
    prefix=$packages
fi

for file in share/basic-cluster/copyright share/basic-cluster/usage share/pkgconfig/basic_cluster.pc include/cluster.hpp; do
    [ -s "$prefix/$file" ] || { echo "the port installs no $file" && exit 1; }
done
cmake -S "$1/tests/consume/find_package" -B "$2/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$CXX"
cmake --build "$2/consumer"
grep "^basic_cluster_DIR:PATH=$prefix/share/basic_cluster$" "$2/consumer/CMakeCache.txt"
"$2/consumer/consumer"
