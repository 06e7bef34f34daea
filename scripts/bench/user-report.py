#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Usage: user-report.py BASE [PAGE.md CHART.svg] NAME.figures...

Print what scripts/bench/user has measured as tables, and write BASE.json and BASE.svg. Where a
page is given, the tables go between its two marks, and the chart to the second file.
"""
import json
import pathlib
import re
import sys

from report import chart

BEGIN, END = "<!-- bench-user: begin -->", "<!-- bench-user: end -->"
NAMES = {"rcu": "ours", "rcu-membarrier": "ours, membarrier", "memb": "liburcu memb", "mb": "liburcu mb",
         "qsbr": "liburcu qsbr", "bp": "liburcu bp", "rwlock": "rwlock", "mutex": "mutex"}
READS = {"read-1": "1 reader", "read-2": "2 readers", "read-1-writer": "1 reader, a writer",
         "read-2-writer": "2 readers, a writer"}
UPDATES = {"update": "nobody reads", "update-short": "short sections", "update-100": "100 µs",
           "update-1000": "1 ms", "update-10000": "10 ms", "update-100000": "100 ms"}
WAITING = {"waiting-100": "100 µs", "waiting-1000": "1 ms", "waiting-10000": "10 ms", "waiting-100000": "100 ms"}


def number(value):
    if value is None:
        return ""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def table(rows, figures):
    lines = ["| | " + " | ".join(rows.values()) + " |", "|" + " --- |" * (len(rows) + 1)]
    for name, values in figures.items():
        if any(row in values for row in rows):
            lines.append(f"| {NAMES[name]} | " + " | ".join(number(values.get(row)) for row in rows) + " |")
    return "\n".join(lines)


def main():
    base, *paths = sys.argv[1:]
    update = [path for path in paths if not path.endswith(".figures")]
    figures = {}
    for path in paths:
        if path.endswith(".figures"):
            lines = pathlib.Path(path).read_text().split("\n")
            figures[pathlib.Path(path).stem] = {row: float(value) for row, value in map(str.split, filter(None, lines))}
    tables = "\n\n".join([
        "CPU time of a section that reads one value, in nanoseconds, the middle of nine rounds:",
        table(READS, figures),
        "An update (replace, wait for readers, free), in microseconds, beside a reader "
        "whose sections take this long:",
        table(UPDATES, figures),
        "The most items that waited to be freed meanwhile, when one is replaced every 100 µs or so "
        "(`call_rcu()`):",
        table(WAITING, figures)])
    print(tables)

    def bars(row):
        return [(NAMES[name].replace("liburcu ", "").replace("ours, ", "our "), [("read", values[row])])
                for name, values in figures.items()]

    picture = chart("RCU in user space: what a section costs, and what an update costs",
                    "less is better", [("read", "ns or µs")],
                    [("a section, 1 reader: ns", bars("read-1"), "linear"),
                     ("a section, 2 readers and a writer: ns", bars("read-2-writer"), "linear"),
                     ("an update beside short sections: µs", bars("update-short"), "log"),
                     ("an update beside sections of 10 ms: µs", bars("update-10000"), "log")])
    pathlib.Path(base + ".json").write_text(json.dumps(figures, indent=1) + "\n")
    pathlib.Path(base + ".svg").write_text(picture)
    if update:
        page = pathlib.Path(update[0])
        text = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{tables}\n{END}", page.read_text(), flags=re.S)
        page.write_text(text)
        pathlib.Path(update[1]).write_text(picture)


main()
