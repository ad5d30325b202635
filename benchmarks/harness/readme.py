# SPDX-License-Identifier: MIT
"""README's table: for each section its chart's metric, of the limit, of ours and of the peers."""

import math

from . import model

BEGIN = "<!-- benchmarks/run --readme: begin -->"
END = "<!-- benchmarks/run --readme: end -->"


def shown(section, role):
    """The rows of a role: of ours those that have a goal, of the raw ones what the others are over."""
    rows = [row for row in section.rows if row.role == role]
    judged = {goal.of for goal in section.goals}
    if role == model.OURS and any(row.name in judged for row in rows):
        rows = [row for row in rows if row.name in judged]
    if role == model.RAW:
        rows = [row for row in rows if row.name == section.base] or rows
    return [row for row in rows if not math.isnan(row.value(section.chart))]


def cell(section, role):
    """Each of those with its value, and its ratio to the base's."""
    column = section.column(section.chart)
    parts = []
    for row in shown(section, role):
        value = row.value(section.chart)
        ratio = section.over_base(row, section.chart) if section.base else math.nan
        times = f" ({ratio:.2f})" if not math.isnan(ratio) and row.name != section.base else ""
        name = row.name.removeprefix("ours ").removeprefix("raw ")
        parts.append(f"{name} {column.text(value)}{times}")
    return "<br>".join(parts)


def render(groups, machine, command):
    """The text between the markers."""
    lines = ["| | limit | basic_cluster | others |", "|---|---|---|---|"]
    reached = asked = 0
    for sections in groups.values():
        for section in sections:
            verdicts = section.verdicts()
            asked += len(verdicts)
            reached += sum(verdict.reached for verdict in verdicts)
            if section.headline and section.rows:
                title = f"{section.title}: {section.column(section.chart).title}"
                cells = [cell(section, role) for role in (model.RAW, model.OURS, model.PEER)]
                lines.append(f"| {title.replace('|', '/')} | " + " | ".join(cells) + " |")
    lines += ["", f"Medians, in brackets the ratio to the limit, on {machine['cpus']} CPUs "
              f"({machine['model']}, Linux {machine['system']}), {machine['time'][:10]}, by "
              f"`{command}`; {reached} of {asked} goals reached."]
    return "\n".join(lines)


def replace(text, generated):
    """README with what is between the markers replaced. ValueError if they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{generated}\n{END}{after}"
