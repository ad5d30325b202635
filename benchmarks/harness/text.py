# SPDX-License-Identifier: MIT
"""Sections as text: Markdown tables, aligned, and a line for each goal."""

import math


def times(value):
    return "-" if math.isnan(value) else f"{value:.2f}x"


def table(header, rows):
    """The lines of a Markdown table; the first column is text, the others are numbers."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) if i == 0 else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(padded) + " |")
        if number == 0:
            lines.append("|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":")
                                        for i, width in enumerate(widths)) + "|")
    return lines


def rows_of(section):
    header = [""]
    for column in section.columns:
        header.append(column.title)
        if column.ratio and section.base:
            header.append("of raw" if section.base.startswith("raw") else f"of {section.base}")
    with_spread = any(len(row.samples.get(section.columns[0].key, [])) > 1 for row in section.rows)
    if with_spread:
        header += ["spread", "n"]
    lines = []
    for row in section.rows:
        line = [row.name]
        for column in section.columns:
            line.append(column.text(row.value(column.key)))
            if column.ratio and section.base:
                line.append(times(section.over_base(row, column.key)))
        if with_spread:
            line += spread(row.samples.get(section.columns[0].key, []), row.value(
                section.columns[0].key))
        lines.append(line)
    if any(row.note for row in section.rows):
        header.append("")
        lines = [[*line, row.note] for line, row in zip(lines, section.rows)]
    return header, lines


def spread(samples, middle):
    """Of the first metric: what lies between the least and the most, of the median."""
    known = [each for each in samples if each is not None]
    if len(known) < 2 or not middle:
        return ["-", len(known)]
    return [f"{(max(known) - min(known)) / middle:.0%}", len(known)]


def verdict_line(section, verdict):
    goal = verdict.goal
    what = goal.what or section.column(goal.key).title
    value = f"{verdict.value:.3f}" if abs(verdict.value) < 100 else f"{verdict.value:,.0f}"
    rounds = ""
    if len(verdict.rounds) > 1:
        rounds = f"; rounds {min(verdict.rounds):.2f} to {max(verdict.rounds):.2f}"
    of = f" of {goal.to}" if goal.to else ""
    outcome = "reached" if verdict.reached else "MISSED "
    return (f"  goal {outcome} {goal.of}, {what}: {value}{of} "
            f"({goal.relation} {goal.limit:g}{rounds})")


def render(sections):
    lines = []
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        lines += table(*rows_of(section))
        verdicts = [verdict_line(section, each) for each in section.verdicts()]
        lines += ["", *verdicts] if verdicts else []
    return "\n".join(lines)
