# SPDX-License-Identifier: MIT
"""What every group of benchmarks gives: sections of rows, and the goals that they are judged by.

All presentations (text, JSON, charts, README) are made from this and from nothing else.
"""

import dataclasses
import math
import statistics

RAW, OURS, PEER = "raw", "ours", "peer"


def median(values):
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else math.nan


@dataclasses.dataclass
class Column:
    """A metric: its key in the rows' samples, and how it is shown."""

    key: str
    title: str  # with the unit
    digits: int = 0
    ratio: bool = False  # shown over the base's, too

    def text(self, value):
        return "-" if math.isnan(value) else f"{value:,.{self.digits}f}"


@dataclasses.dataclass
class Row:
    """One program: for each metric what was measured, in the order of the rounds."""

    name: str
    role: str
    samples: dict[str, list[float | None]]
    note: str = ""

    def value(self, key):
        return median(self.samples.get(key, []))


@dataclasses.dataclass
class Goal:
    """A row's metric over that of another, or by itself (`to` empty), has a limit."""

    of: str
    to: str
    key: str
    relation: str  # ">=" or "<="
    limit: float
    what: str = ""  # if the column's title does not say it


@dataclasses.dataclass
class Verdict:
    goal: Goal
    value: float
    rounds: list[float]

    @property
    def reached(self):
        value, limit = self.value, self.goal.limit
        return value >= limit if self.goal.relation == ">=" else value <= limit


@dataclasses.dataclass
class Section:
    """Rows that can be compared with each other: one table and one block of a chart."""

    title: str
    columns: list[Column]
    rows: list[Row]
    base: str = ""  # the row that ratios are of
    chart: str = ""  # the metric of the chart; empty: not in it
    goals: list[Goal] = dataclasses.field(default_factory=list)
    headline: bool = False  # the chart's metric is in README's table, too

    def row(self, name):
        return next((row for row in self.rows if row.name == name), None)

    def column(self, key):
        return next(column for column in self.columns if column.key == key)

    def ratios(self, row, to, key):
        """Round by round where both have the same rounds, else one ratio of the medians."""
        above, below = row.samples.get(key, []), to.samples.get(key, [])
        if len(above) == len(below):
            return [a / b for a, b in zip(above, below) if a is not None and b]
        a, b = row.value(key), to.value(key)
        return [a / b] if b and not math.isnan(a / b) else []

    def over_base(self, row, key):
        """A row's metric over the base's; NaN if there is none."""
        base = self.row(self.base)
        return median(self.ratios(row, base, key)) if base else math.nan

    def verdicts(self):
        """Of the goals whose rows were measured."""
        result = []
        for goal in self.goals:
            row, to = self.row(goal.of), self.row(goal.to)
            if row is None or (goal.to and to is None):
                continue
            if to:
                rounds = self.ratios(row, to, goal.key)
            else:
                rounds = [value for value in row.samples.get(goal.key, []) if value is not None]
            if rounds:
                result.append(Verdict(goal, median(rounds), rounds))
        return result

    def to_json(self):
        result = dataclasses.asdict(self)
        for row, of in zip(result["rows"], self.rows):
            row["medians"] = {key: of.value(key) for key in of.samples}
            row["ratios"] = {column.key: self.over_base(of, column.key)
                             for column in self.columns if column.ratio}
        result["verdicts"] = [
            {**dataclasses.asdict(verdict.goal), "value": verdict.value, "rounds": verdict.rounds,
             "reached": verdict.reached} for verdict in self.verdicts()]
        return finite(result)

    @staticmethod
    def from_json(data):
        rows = [Row(row["name"], row["role"], row["samples"], row["note"]) for row in data["rows"]]
        return Section(data["title"], [Column(**each) for each in data["columns"]], rows,
                       data["base"], data["chart"], [Goal(**each) for each in data["goals"]],
                       data["headline"])


def finite(value):
    """JSON knows neither infinity nor NaN: null."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Samples:
    """Collects rows whose programs take turns: add() once for each round of each."""

    def __init__(self):
        self.rows = {}

    def add(self, name, role, values, note=""):
        row = self.rows.setdefault(name, Row(name, role, {}, note))
        for key, value in values.items():
            if value is None or type(value) in (int, float):
                row.samples.setdefault(key, []).append(value)

    def list(self):
        return list(self.rows.values())
