#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What benchmarks/run makes of its figures: ratios, goals, tables, charts, JSON, README's table."""

import io
import contextlib
import json
import math
import pathlib
import sys
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from harness import charts, command, model, readme, text  # noqa: E402
from harness.model import OURS, PEER, RAW, Column, Goal, Row, Section  # noqa: E402


def example():
    rows = [Row("raw server", RAW, {"cpu": [10, 20, 30], "rate": [1000.0]}),
            Row("ours", OURS, {"cpu": [11, 24, 30], "rate": [None]}, "a note"),
            Row("<peer>", PEER, {"cpu": [40, None, 40], "rate": []})]
    columns = [Column("cpu", "CPU us", 1, ratio=True), Column("rate", "req/s")]
    goals = [Goal("ours", "raw server", "cpu", "<=", 1.05), Goal("ours", "", "cpu", "<=", 30),
             Goal("ours", "who is not there", "cpu", "<=", 1)]
    return Section("Servers & co", columns, rows, "raw server", "cpu", goals, headline=True)


class Model(unittest.TestCase):
    def test_ratios_are_of_the_same_round(self):
        section = example()
        self.assertEqual(section.ratios(section.row("ours"), section.row("raw server"), "cpu"),
                         [1.1, 1.2, 1.0])
        self.assertEqual(section.over_base(section.row("ours"), "cpu"), 1.1)

    def test_a_round_that_failed_is_left_out(self):
        section = example()
        self.assertEqual(section.ratios(section.row("<peer>"), section.row("raw server"), "cpu"),
                         [4, 40 / 30])

    def test_without_the_same_rounds_the_medians_are_compared(self):
        section = example()
        section.row("ours").samples["cpu"] = [40]
        self.assertEqual(section.over_base(section.row("ours"), "cpu"), 2)

    def test_a_goal_is_reached_or_missed_and_one_without_its_rows_is_not_judged(self):
        verdicts = example().verdicts()
        self.assertEqual([each.reached for each in verdicts], [False, True])
        self.assertEqual(verdicts[1].value, 24)

    def test_nothing_measured_is_no_number(self):
        self.assertTrue(math.isnan(Row("none", RAW, {}).value("cpu")))

    def test_samples_of_a_round_that_failed_keep_their_place(self):
        samples = model.Samples()
        samples.add("one", RAW, {"cpu": 1, "name": "text", "spins": True})
        samples.add("one", RAW, {"cpu": None})
        self.assertEqual(samples.list()[0].samples, {"cpu": [1, None]})


class Presentations(unittest.TestCase):
    def test_a_table_has_every_row_as_wide_as_the_others(self):
        lines = text.table(*text.rows_of(example()))
        self.assertEqual(len(lines), 5)
        self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertIn("1.10x", lines[3])

    def test_a_goal_is_one_line(self):
        rendered = text.render([example()])
        self.assertIn("goal MISSED  ours, CPU us: 1.100 of raw server (<= 1.05", rendered)
        self.assertIn("goal reached ours, CPU us: 24.000 (<= 30", rendered)

    def test_a_chart_is_well_formed_and_has_a_bar_for_each_row(self):
        drawing = charts.render([example()])
        root = xml.etree.ElementTree.fromstring(drawing)
        bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect")
                if each.get("height") == str(charts.BAR)]
        self.assertEqual([each.get("class") for each in bars], [RAW, OURS, PEER])
        self.assertIn("prefers-color-scheme: dark", drawing)

    def test_without_a_metric_there_is_no_chart(self):
        section = example()
        section.chart = ""
        self.assertIsNone(charts.render([section]))

    def test_json_gives_the_same_sections_again(self):
        section = example()
        again = Section.from_json(json.loads(json.dumps(section.to_json(), allow_nan=False)))
        self.assertEqual(text.render([again]), text.render([section]))

    def test_json_knows_no_infinity(self):
        self.assertEqual(model.finite({"a": [math.inf, math.nan, 1.5]}), {"a": [None, None, 1.5]})

    def test_readme_is_replaced_between_the_markers_only(self):
        page = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
        machine = {"cpus": 2, "model": "CPU", "system": "6", "time": "2026-01-01T00:00:00"}
        new = readme.replace(page, readme.render({"http": [example()]}, machine, "benchmarks/run"))
        self.assertTrue(new.startswith("before\n") and new.endswith("\nafter\n"))
        self.assertNotIn("old", new)
        self.assertIn("1 of 2 goals reached", new)
        self.assertIn("| Servers & co: CPU us | server 20.0 | ours 24.0 (1.10) | &lt;peer&gt; 40.0", new)
        self.assertRaises(ValueError, readme.replace, "no markers", "new")

    def test_readme_has_the_markers(self):
        page = (ROOT / "README.md").read_text()
        self.assertEqual(page.count(readme.BEGIN), 1)
        self.assertLess(page.index(readme.BEGIN), page.index(readme.END))


class Command(unittest.TestCase):
    def test_help_names_every_group(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), self.assertRaises(SystemExit) as ended:
            command.main(["--help"])
        self.assertEqual(ended.exception.code, 0)
        for group in command.GROUPS:
            self.assertIn(f"  {group} ", output.getvalue())

    def test_a_group_that_is_not_there_is_refused(self):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as ended:
            command.main(["nothing"])
        self.assertEqual(ended.exception.code, 2)
        self.assertIn("no such group: nothing", errors.getvalue())


if __name__ == "__main__":
    unittest.main()
