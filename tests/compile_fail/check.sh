#!/usr/bin/env bash
# check.sh <source> <compiler and its flags>...
# Passes when <source> is refused with the message that its first line names: // expect: <extended regular expression>
set -u
source=$1
shift

expected=$(sed -n '1s|^// expect: ||p' "$source")
if [ -z "$expected" ]; then
    echo "$source: the first line must be: // expect: <extended regular expression>"
    exit 1
fi

output=$("$@" "$source" 2>&1)
status=$?
printf '%s\n' "$output"
if [ "$status" -eq 0 ]; then
    echo "$source compiles, but must not"
    exit 1
fi
if ! grep -qE -- "$expected" <<<"$output"; then
    echo "$source is refused, but without the expected message: $expected"
    exit 1
fi
