#!/usr/bin/env bash
# run.sh <prefix of an installation> <build folder>: a Makefile project that knows only the name of the package.
set -eu
for tool in make pkg-config; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        exit 77
    fi
done

export PKG_CONFIG_PATH=$1/share/pkgconfig OUT=$2
mkdir -p "$OUT"
pkg-config --atleast-version=0.1 basic_cluster
make -B -C "$(dirname "$0")" "$OUT/consumer"
"$OUT/consumer"
