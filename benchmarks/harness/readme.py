# SPDX-License-Identifier: MIT
"""README's table: for each section its chart's metric, of the limit, of ours and of the peers."""

import html
import math

from . import model

BEGIN = "<!-- benchmarks/run --readme: begin -->"
END = "<!-- benchmarks/run --readme: end -->"


def measured_by(section, row):
    """The row that the goal of a row is about, or the section's base; None without one."""
    of_goals = [section.row(goal.to) for goal in section.goals
                if goal.of == row.name and goal.key == section.chart and goal.to]
    raw = [to for to in of_goals if to and to.role == model.RAW]
    return raw[0] if raw else section.row(section.base)


def shown(section, role):
    """The rows of a role: of ours those that have a goal, of the raw ones those that they need."""
    rows = [row for row in section.rows if row.role == role]
    if role == model.PEER:
        return rows
    judged = {goal.of for goal in section.goals}
    ours = [row for row in section.rows if row.role == model.OURS]
    ours = [row for row in ours if row.name in judged] or ours
    if role == model.OURS:
        return ours
    return [row for row in rows if row in [measured_by(section, each) for each in ours]] or rows


def cell(section, role):
    """Each of those with its value and, if it is no limit itself, its ratio to its limit."""
    column = section.column(section.chart)
    parts = []
    for row in shown(section, role):
        value, to = row.value(section.chart), measured_by(section, row)
        if math.isnan(value):
            continue
        ratios = section.ratios(row, to, section.chart) if to and role != model.RAW else []
        times = f" ({model.median(ratios):.2f})" if ratios and row is not to else ""
        name = row.name.removeprefix("ours ").removeprefix("raw ")
        parts.append(f"{html.escape(name)} {column.text(value)}{times}")
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
