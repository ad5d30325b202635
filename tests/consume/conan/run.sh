#!/usr/bin/env bash
# run.sh <project> <build folder>: `conan create` with the test package, in a Conan home of its own.
set -eu
if ! command -v conan >/dev/null; then
    echo "skipped: conan is not installed (python3 -m venv .venv && .venv/bin/pip install 'conan>=2.3')"
    exit 77
fi

export CONAN_HOME=$2/home
mkdir -p "$2"
conan profile detect --force
conan create "$1" --settings compiler.cppstd=20 --settings build_type=Release \
    --conf "tools.cmake.cmake_layout:test_folder=$2/test"
