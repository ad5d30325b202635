#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keeps what the pages show the same as what is compiled. Standard library only.

    snippets.py            cuts the snippets anew and writes them into README.md and .github/docs/*.md
    snippets.py --check    writes nothing; fails where a page and a source differ
    snippets.py --links    fails where a link leads to no file, no heading or no test

Directly above each fenced block of C++ stands where it is from:

    <!-- from tests/docs/restart.cpp: own policy -->  the lines from `// [own policy]` to `// [/own policy]`
    <!-- from examples/07_pools.cpp -->               all of the file but its licence
    <!-- sketch -->                                   nowhere: it cannot be compiled

What the compiler says is quoted as a link, [`sentence`](../../tests/compile_fail/program.cpp): the sentence is a header's,
word for word, and the one that the program expects. Every such program, and every sentence about a policy, is quoted.

What a policy must have stands in a table in its concept.hpp; its page has the same expressions.

A claim names its test by a link, [name of the case](../../tests/scenarios/file.cpp).
"""
import argparse
import difflib
import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / '.github/docs').glob('*.md'))]
REFUSED = ROOT / 'tests/compile_fail'
CONCEPTS = {'scheduling': 'scheduling', 'serializers': 'serialization', 'restart': 'restart', 'backends': 'backend',
            'buses': 'bus'}
# Whose sentences must all be quoted: the policies', and of what they are made.
POLICIES = re.compile(r'(scheduling|serialization|restart|backend|bus)/|compose\.hpp$')

MARK = re.compile(r'<!-- (?:from (?P<file>[^\s:]+)(?:: (?P<region>.+))?|(?P<sketch>sketch)) -->')
REGION = re.compile(r'\s*// \[(/?)([^\[\]]+)\]$')
CODE_SPAN = re.compile(r'(?<!`)(`+)(?!`)((?:(?!\n\n).)+?)(?<!`)\1(?!`)', re.DOTALL)
LINK = re.compile(r'\[([^\[\]]*)\]\(([^()\s]+)\)')
ASSERTION = re.compile(r'static_assert\(((?:"(?:[^"\\\n]|\\.)*"|[^"])*?)\);')
LITERALS = r'((?:"(?:[^"\\\n]|\\.)*"\s*)+)'
CASE = re.compile(r'CASE\w*\(\s*(?:\w+,\s*)?' + LITERALS)


class Faults:
    """What is wrong, told at once; `told` counts."""

    def __init__(self):
        self.told = 0

    def tell(self, where, what):
        path, *line = where if isinstance(where, tuple) else (where,)
        print(':'.join([str(path.relative_to(ROOT)), *map(str, line)]) + f': {what}')
        self.told += 1


# --- Snippets ---------------------------------------------------------------------------------------------------------


def cut(path, region):
    """The lines of a region, or of the file, without indentation and marks; a text when there are none."""
    lines = path.read_text(encoding='utf-8').splitlines()
    if region:
        found = [(bool(m[1]), i) for i, line in enumerate(lines) if (m := REGION.match(line)) and m[2] == region]
        if [end for end, _ in found] != [False, True]:
            return f'needs one // [{region}] and behind it one // [/{region}]'
        lines = lines[found[0][1] + 1 : found[1][1]]
    elif lines and 'SPDX-License-Identifier' in lines[0]:
        lines = lines[1:]
    lines = [line for line in lines if not REGION.match(line)]
    return textwrap.dedent('\n'.join(lines)).strip('\n').splitlines()


def blocks(lines):
    """(index of the fence, index of its end, language) of each fenced block."""
    opened = None
    for i, line in enumerate(lines):
        if m := re.match(r'```(\w*)', line):
            if opened is None:
                opened = (i, m[1])
            else:
                yield opened[0], i, opened[1]
                opened = None


def with_fresh_snippets(page, faults, shown):
    """The page's text with every snippet as it is in its source now; `shown` collects what is cut."""
    lines = page.read_text(encoding='utf-8').splitlines()
    result, done = [], 0
    for start, end, language in blocks(lines):
        mark = MARK.fullmatch(lines[start - 1]) if start else None
        result += lines[done : start + 1]
        done = start + 1
        if mark is None:
            if language in ('cpp', 'c++', 'cxx'):
                faults.tell((page, start + 1), 'C++ of no file: <!-- from FILE: REGION --> is missing above it')
            continue
        if mark['sketch']:
            continue
        source = ROOT / mark['file']
        if not source.is_file():
            faults.tell((page, start), f"there is no {mark['file']}")
            continue
        fresh = cut(source, mark['region'])
        if isinstance(fresh, str):
            faults.tell((page, start), f"{mark['file']} {fresh}")
            continue
        shown.add((source, mark['region']))
        result += fresh
        done = end
    return '\n'.join(result + lines[done:]) + '\n'


def snippets(write, faults):
    shown = set()
    for page in PAGES:
        old = page.read_text(encoding='utf-8')
        new = with_fresh_snippets(page, faults, shown)
        if old == new:
            continue
        if write:
            page.write_text(new, encoding='utf-8', newline='\n')
            print(f'{page.relative_to(ROOT)}: written')
        else:
            faults.tell(page, 'differs from what is compiled; .github/scripts/snippets.py writes it anew')
            print('\n'.join(difflib.unified_diff(old.splitlines(), new.splitlines(), 'page', 'source', '', '', 1, '')))
    for source in sorted((ROOT / 'tests/docs').rglob('*.cpp')):
        for i, line in enumerate(source.read_text(encoding='utf-8').splitlines(), 1):
            if (m := REGION.match(line)) and not m[1] and (source, m[2]) not in shown:
                faults.tell((source, i), f'[{m[2]}] is shown on no page')


# --- What the compiler says -------------------------------------------------------------------------------------------


def joined(literals):
    return ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))


def sentences():
    """{what an assertion says: the header}, adapters apart: their libraries need not be there."""
    result = {}
    include = ROOT / 'include/cluster'
    for header in sorted(include.rglob('*.hpp')):
        if 'adapters' in header.parts:
            continue
        for assertion in ASSERTION.finditer(header.read_text(encoding='utf-8')):
            if (m := re.search(r',\s*' + LITERALS + r'$', assertion[1])) and joined(m[1]).endswith('.'):
                result[joined(m[1])] = header
    return result


def quotes(faults):
    known, quoted, programs = sentences(), set(), set()
    for page in PAGES:
        for line, text, is_code, target in links(page):
            program = (page.parent / target).resolve()
            if not is_code or program.parent != REFUSED or not program.is_file():
                continue
            programs.add(program)
            quoted.add(text)
            expected = re.match(r'// expect: (.*)', program.read_text(encoding='utf-8'))
            if text not in known:
                faults.tell((page, line), f'no header says: {text}')
            elif not expected or not re.search(expected[1], f'error: static assertion failed: {text}'):
                faults.tell((page, line), f'{program.name} does not expect: {text}')
    for program in sorted(set(REFUSED.glob('*.cpp')) - programs):
        faults.tell(program, 'what is said about it stands on no page')
    for sentence, header in known.items():
        if POLICIES.search(header.relative_to(ROOT / 'include/cluster').as_posix()) and sentence not in quoted:
            faults.tell(header, f'stands on no page with its program in tests/compile_fail: {sentence}')


def concepts(faults):
    for page, folder in CONCEPTS.items():
        header = ROOT / 'include/cluster' / folder / 'concept.hpp'
        shown = re.findall(r'^\| `([^`]+)`', (ROOT / f'.github/docs/{page}.md').read_text(encoding='utf-8'), re.MULTILINE)
        for expression in re.findall(r'^/// \| `([^`]+)`', header.read_text(encoding='utf-8'), re.MULTILINE):
            if not any(each.startswith(expression.partition('pay…')[0]) for each in shown):
                faults.tell(header, f'{page}.md does not have `{expression}` in its table')


# --- Links ------------------------------------------------------------------------------------------------------------


def prose(page):
    """The page with its fenced blocks blank."""
    lines = page.read_text(encoding='utf-8').splitlines()
    for start, end, _ in blocks(lines):
        lines[start : end + 1] = [''] * (end + 1 - start)
    return '\n'.join(lines)


def links(page):
    """(line, text, whether the text is code, target) of each link."""
    spans = []

    def hide(span):
        spans.append(span[2].strip())
        return f'\0{len(spans) - 1}\0' + '\n' * span[0].count('\n')

    text = CODE_SPAN.sub(hide, prose(page))
    for link in LINK.finditer(text):
        shown = re.sub('\0(\\d+)\0', lambda m: spans[int(m[1])], link[1])
        is_code = re.fullmatch('\0\\d+\0', link[1]) is not None
        yield text.count('\n', 0, link.start()) + 1, ' '.join(shown.split()), is_code, link[2]


def anchors(page):
    """The names that GitHub gives to the headings."""
    result = {}
    for heading in re.findall(r'^#+ (.*)$', prose(page), re.MULTILINE):
        plain = LINK.sub(r'\1', heading.replace('`', ''))
        name = re.sub(r'[^\w\- ]', '', plain.strip().lower()).replace(' ', '-')
        count = result[name] = result.get(name, -1) + 1
        if count:
            result[f'{name}-{count}'] = 0
    return set(result)


def cases(path):
    return {joined(m[1]) for m in CASE.finditer(path.read_text(encoding='utf-8'))}


def check_links(faults):
    pages = {*PAGES, *ROOT.glob('*.md'), *(ROOT / '.github').rglob('*.md')}
    for folder in ('examples', 'tests', 'benchmarks'):
        pages |= set((ROOT / folder).rglob('*.md'))
    for page in sorted(pages):
        for line, text, is_code, target in links(page):
            if re.match(r'\w+:', target):
                continue # another site's
            path, _, anchor = target.partition('#')
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                faults.tell((page, line), f'there is no {target}')
            elif anchor and (file.suffix != '.md' or anchor not in anchors(file)):
                faults.tell((page, line), f'{path or page.name} has no heading #{anchor}')
            elif page in PAGES and not is_code and is_doctest(file) and text not in {file.name, *cases(file)}:
                faults.tell((page, line), f'{path} has no case of this name: {text}')


def is_doctest(file):
    return file.suffix == '.cpp' and ROOT / 'tests' in file.parents and file.parent != REFUSED


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a page is stale')
    parser.add_argument('--links', action='store_true', help='look at the links instead')
    arguments = parser.parse_args()
    faults = Faults()
    if arguments.links:
        check_links(faults)
    else:
        snippets(not arguments.check, faults)
        quotes(faults)
        concepts(faults)
    return 1 if faults.told else 0


if __name__ == '__main__':
    sys.exit(main())
