#!/usr/bin/env bash
# run.sh <project> <build folder>: a Meson project that fetches the library with the wrap, from a repository that is made
# of the working tree.
set -eu
for tool in meson ninja git; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        exit 77
    fi
done

library=$2/library consumer=$2/consumer
rm -rf "$library" "$consumer"
mkdir -p "$library" "$consumer/subprojects"

cp -R "$1/include" "$1/LICENSE" "$library"
rm -rf "$library/include/single"
repository() { git -C "$library" -c user.name=test -c user.email=test@localhost -c commit.gpgSign=false "$@"; }
repository init --quiet
repository add .
repository commit --quiet --message "what is tested"

cp "$1/tests/consume/meson/meson.build" "$1/tests/consume/small.cpp" "$consumer"
cp -R "$1/.meson/." "$consumer/subprojects"
sed -i "s|^url = .*|url = file://$library|" "$consumer/subprojects/basic_cluster.wrap"
meson setup "$consumer/build" "$consumer"
meson compile -C "$consumer/build"
"$consumer/build/consumer"
