# SPDX-License-Identifier: MIT
"""What the scripts have in common that write a file from the headers: SCRIPT UMBRELLA OUTPUT [--check]"""
import argparse
import pathlib
import sys


def parse(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('umbrella', type=pathlib.Path)
    parser.add_argument('output', type=pathlib.Path)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if the output is stale')
    return parser.parse_args()


def write(arguments, text):
    if arguments.check:
        fresh = arguments.output.exists() and arguments.output.read_text(encoding='utf-8') == text
        sys.exit(0 if fresh else f'{arguments.output} is stale: run {sys.argv[0]} without --check')
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding='utf-8', newline='\n')
