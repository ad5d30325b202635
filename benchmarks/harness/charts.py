# SPDX-License-Identifier: MIT
"""Sections as SVG: horizontal bars from zero, readable in light and in dark."""

import html
import math

from . import model

WIDTH, LABEL, BAR, GAP = 820, 250, 16, 6
MOST = WIDTH - LABEL - 150  # of a bar; behind it is its figure

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.note { fill: #59636e }
.raw { fill: #818b98 } .ours { fill: #0969da } .peer { fill: #bf8700 }
.frame { fill: #ffffff } .tear { stroke: #ffffff; stroke-width: 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 } .frame { fill: #0d1117 }
  .tear { stroke: #0d1117 }
  .raw { fill: #656c76 } .ours { fill: #4493f8 } .peer { fill: #d29922 }
}
"""


def text(x, y, content, kind="", anchor="start"):
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{attribute}>{html.escape(content)}</text>'


def longest(section, rows):
    """What a whole bar stands for: the most, but no peer makes all others look like nothing."""
    values = [row.value(section.chart) for row in rows]
    inside = [row.value(section.chart) for row in rows if row.role != model.PEER]
    return min(max(values, default=0), 4 * max(inside, default=0) or math.inf)


def block(section, top):
    """The elements of one section, and where the next one begins."""
    column = section.column(section.chart)
    rows = [row for row in section.rows if not math.isnan(row.value(section.chart))]
    most = longest(section, rows)
    parts = [text(8, top + 14, section.title, "title"),
             text(8, top + 30, column.title, "note")]
    y = top + 40
    for row in rows:
        value = row.value(section.chart)
        length = min(MOST, max(1, MOST * value / most)) if most > 0 else 1
        parts.append(text(LABEL - 8, y + 13, row.name, anchor="end"))
        parts.append(f'<rect class="{row.role}" x="{LABEL}" y="{y}" width="{length:.1f}" '
                     f'height="{BAR}" rx="2"/>')
        if value > most:  # the bar is torn
            parts.append(f'<path class="tear" d="M{LABEL + MOST - 24} {y + BAR} l6 -{BAR}"/>')
        ratio = section.over_base(row, section.chart) if section.base else math.nan
        figure = column.text(value)
        if not math.isnan(ratio) and row.name != section.base:
            figure += f"  ({ratio:.2f}x)"
        parts.append(text(round(LABEL + length + 6, 1), y + 13, figure))
        y += BAR + GAP
    return parts, y + 18


def render(sections):
    """One drawing, or None when no section has anything to show."""
    parts, y = [], 8
    for section in sections:
        if section.chart and section.rows:
            added, y = block(section, y)
            parts += added
    if not parts:
        return None
    legend, x = [], 8
    for role, meaning in ((model.RAW, "raw limit"), (model.OURS, "basic_cluster"),
                          (model.PEER, "others")):
        legend.append(f'<rect class="{role}" x="{x}" y="{y}" width="12" height="12" rx="2"/>')
        legend.append(text(x + 18, y + 10, meaning, "note"))
        x += 130
    height = y + 24
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">', f"<style>{STYLE}</style>",
        f'<rect class="frame" width="{WIDTH}" height="{height}"/>', *parts, *legend, "</svg>", ""])


def write(groups, folder):
    """A file for each group that has something to show."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sections in groups.items():
        if drawing := render(sections):
            (folder / f"{name}.svg").write_text(drawing)
