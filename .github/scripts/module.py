#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the module interface unit: module.py include/cluster.hpp <output> [--check]. Standard library only.

It exports every name that a header declares in namespace cluster or below, `detail` excepted. Headers under adapters/
need other libraries; their names are not exported. A declaration of a form that is not known here ends it with an
error, so that none is left out in silence.
"""
import re
import sys

import generated

NO_CODE = re.compile(
    r"""(?P<number>\b\d[\w'.]*) | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | //[^\n]* | /\*.*?\*/ """
    r"""| ^[ \t]*\#(?:\\\n|[^\n])* | \[\[.*?\]\] """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
NAMESPACE = re.compile(r'(?:(inline) )?namespace ([\w:]+)')
TYPE = re.compile(r'(?:enum(?: class| struct)?|class|struct|union) (\w+)(?: final)?(?= ?(?::[^:]|\{|$))')
# One operand of a requires clause, once parentheses and angle brackets are empty.
OPERAND = r'!?(?:requires ?(?:\(\) ?)?\{\}|\(\)|\w+(?: ?:: ?\w+)*(?: ?\(\))?)'
REQUIRES = re.compile(rf'\brequires\b(?! ?\{{)(?! ?\(\) ?\{{)(?: ?{OPERAND})(?: ?(?:&&|\|\|) ?{OPERAND})*')
FUNCTION = re.compile(r'((?:\w+ ?:: ?)*~?\w+) ?\(\)')
NO_FUNCTIONS = {'alignas', 'decltype', 'explicit', 'noexcept', 'static_assert'}


def blank(match):
    """What is no code becomes a space; a literal stays one, and an operator's name keeps its quotes."""
    return match[0] if match['number'] else '""' if match[0][0] in '"\'' else ' '


def simplify(head):
    """The declaration in one line: parentheses and angle brackets empty, operators as words."""
    head = ' '.join(head.split())
    head = re.sub(r'operator ?("" ?\w+|\(\)|[^\w\s(]+)', lambda m: 'operator' + m[1].encode().hex(), head)
    head = head.replace('->', '@')
    for bracketed, empty in ((r'\((?:[^()]+)\)', '()'), (r' ?<[^<>]*>', '')):
        while (shorter := re.sub(bracketed, empty, head)) != head:
            head = shorter
    head = re.sub(r'\btemplate ?', '', head)
    return REQUIRES.sub('', head).strip()


def function_name(simple):
    """The function that `simple` declares, with its class if it is a member; None if it declares none."""
    if re.match(r'(concept|using|class|struct|union|enum)\b', simple):
        return None
    before_value = re.split(r' = (?!default|delete)', simple)[0]
    return next((m[1] for m in FUNCTION.finditer(before_value) if m[1] not in NO_FUNCTIONS), None)


def names_in(head):
    """The names that one declaration at namespace scope introduces."""
    simple = simplify(head)
    if not simple or simple.startswith(('static_assert', 'using namespace', 'namespace')):
        return []
    if m := re.match(r'(?:using|concept) (\w+) ?=', simple):
        return [m[1]]
    if m := re.match(r'using [\w: ]*\b(\w+)$', simple):
        return [m[1]]
    if m := re.match(r'(?:inline |constexpr |constinit )*' + TYPE.pattern, simple):
        variable = re.search(r'\} ?(\w+) ?(?:\{\})?$', simple)
        return [m[1]] + ([variable[1]] if variable else [])
    if name := function_name(simple):
        if '::' in name or simple.startswith(name):  # a member, or a deduction guide
            return []
        encoded = re.fullmatch(r'operator((?:[0-9a-f]{2})+)', name)
        return ['operator' + bytes.fromhex(encoded[1]).decode().replace('"" ', '""') if encoded else name]
    if m := re.search(r'(:: ?)?\b(\w+) ?(?:\{\}|= .*)?$', simple):
        return [] if m[1] else [m[2]]
    sys.exit(f'what does this declare? {" ".join(head.split())}')


def declarations(text):
    """(namespace, declaration) for everything at namespace scope; the bodies of functions and types are `{}`."""
    scopes, head, depth = [], '', 0  # depth: braces open since the last namespace
    for token in re.findall(r'\w+|\s+|[^\w\s]', NO_CODE.sub(blank, text)):
        if token == '{':
            if depth == 0 and (m := NAMESPACE.fullmatch(' '.join(head.split()))):
                scopes.append([] if m[1] else m[2].split('::'))
                head = ''
                continue
            depth += 1
            head += '{' if depth == 1 else ''
        elif token == '}' and depth == 0:
            scopes.pop()
        elif token == '}':
            depth -= 1
            head += '}' if depth == 0 else ''
            if depth == 0 and is_function_with_body(head):
                yield sum(scopes, []), head
                head = ''
        elif depth == 0 and token == ';':
            yield sum(scopes, []), head
            head = ''
        elif depth == 0:
            head += token
    if scopes or depth:
        sys.exit('braces do not match')


def is_function_with_body(head):
    simple = simplify(head)
    return simple.endswith('}') and function_name(simple) is not None


def exported(headers):
    """Namespace -> its public names."""
    found = {}
    for header in headers:
        for scope, head in declarations(header.read_text(encoding='utf-8')):
            if scope[:1] == ['cluster'] and 'detail' not in scope:
                found.setdefault('::'.join(scope), set()).update(names_in(head))
    return {scope: sorted(names) for scope, names in sorted(found.items()) if names}


def main():
    arguments = generated.parse(__doc__)

    headers = arguments.umbrella.parent / arguments.umbrella.stem
    names = exported(sorted(set(headers.rglob('*.hpp')) - set((headers / 'adapters').rglob('*.hpp'))))
    lines = [
        '// SPDX-License-Identifier: MIT',
        '// Generated by .github/scripts/module.py: do not edit it; edit include/cluster/ instead.',
        '',
        'module;',
        f'#include "{arguments.umbrella.name}"',
        'export module cluster;',
    ]
    for scope in names:
        lines += ['', f'export namespace {scope} {{', *(f'using {scope}::{name};' for name in names[scope]), '}']
    text = '\n'.join(lines) + '\n'
    generated.write(arguments, text)


main()
