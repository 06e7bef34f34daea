#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/bench/run prints and draws, from lines "MODE DEVICE ROW VALUE".

    report.py quick FILE...                      the table of overhead
    report.py clones FILE...                     the table of clones
    report.py all KERNEL SECONDS BASE FILE...    all tables, BASE.json and BASE.svg
    report.py locks KERNEL SECONDS BASE FILE...  the same of the locks
    report.py scale KERNEL SECONDS BASE FILE...  readers, disks, depth; BASE.json
    report.py cycles BASE FILE...                cycles; BASE.json
    report.py guard|update BASELINE FILE         compare with a baseline, or make it

Modes: count (instructions; guard and quick are short forms), first (the same, of a first write
with init_on_alloc=0), clones and caches (instructions and KiB), wall (nanoseconds, each figure once a round), cycles (likewise), locks, depth and scale.
"""

import json
import math
import os
import statistics
import sys

LOOPS = {"read-4k": "4 KiB read", "write-4k": "4 KiB write",
         "read-64k": "64 KiB read", "write-64k": "64 KiB write",
         "read-1m": "1 MiB read", "write-1m": "1 MiB write",
         "read-1m-huge": "1 MiB read, hugepage", "write-1m-huge": "1 MiB write, hugepage"}
FIO = {"fio-psync-randread": "fio psync 4 KiB randread",
       "fio-psync-randwrite": "fio psync 4 KiB randwrite",
       "fio-io_uring-randread": "fio io_uring QD32 randread",
       "fio-io_uring-randwrite": "fio io_uring QD32 randwrite"}
WHOLE = {"first-1m": "first write, 1 MiB", "discard": "discard 256 MiB",
         "discard-call": "discard 256 MiB, in the call",
         "discard-total": "discard 256 MiB, in all", "unload": "unload, 256 MiB full"}
CYCLES = {row: LOOPS[row] for row in list(LOOPS)[:6]} | {
    "first-4k": "4 KiB, first write", "shared-4k": "4 KiB, first write to a clone",
    "discard-64k": "64 KiB discard", "clone-call": "clone of 1 GiB",
    "reset-call": "reset of 16 MiB, 100 pages changed"}
CLONES = {"clone-total": "clone of 1 GiB, in all", "clone-call": "the call",
          "clone-tree": "memory for its tree, KiB", "clone-memory": "memory in all, KiB",
          "reset-total": "reset of 16 MiB, 100 pages changed, in all", "reset-call": "the call",
          "resets-tree": "left by 1,000 resets: tree, KiB", "resets-memory": "memory, KiB",
          "shared-4k": "first write of 4 KiB to a clone", "first-4k": "first write of 4 KiB into a hole"}
CACHES = {"flush-0": "flush, nothing written", "flush-10": "flush, 10 pages of 1 GiB written",
          "stable-4k": "first write of 4 KiB since the flush", "dirty-4k": "a further one"}
PAIRS = [
    ("read-alone", "Two CPUs: cycles of a 4 KiB read, and how many more while the other one ...",
     {"read-alone": "alone", "read-beside-read": "reads", "read-beside-write": "overwrites",
      "read-beside-both": "discards and writes first"}),
    ("both-alone", "Cycles of a discard and a first write of 4 KiB, and how many more beside the same",
     {"both-alone": "alone", "both-same": "on the same disk", "both-other": "on another disk"})]
MEASURING = ("nop", "floor", "linear")
GROWTH = 1.10
SLOWER = 0.97


def read(paths):
    """figures[mode][device][row] is the list of what was measured, in order"""
    figures = {}
    for path in paths:
        with open(path, encoding="ascii") as lines:
            for line in lines:
                mode, device, row, value = line.split()
                rows = figures.setdefault(mode, {}).setdefault(device, {})
                rows.setdefault(row, []).append(float(value))
    return figures


def table(title, head, rows):
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return
    print(f"\n{title}\n")
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(c.rjust(w) if i else c.ljust(w)
                        for i, (c, w) in enumerate(zip(row, widths))).rstrip())


def number(value):
    if value is None:
        return ""
    if abs(value) < 99999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f}k" if abs(value) < 9.9995e6 else f"{value / 1e6:.1f}M"


def overhead(count):
    """instructions beyond those of the floor, for each device that is a disk"""
    floor = count["floor"]
    return {device: {row: rows[row][0] - floor[row][0] for row in floor if row in rows}
            for device, rows in count.items() if device not in MEASURING}


def print_count(count):
    def first(device, row):
        return count[device][row][0] if row in count[device] else None

    over = overhead(count)
    table("Direct I/O in a loop, instructions: those of disks are what they cost above the floor",
          ["", "nop", "floor - nop"] + list(over),
          [[label, number(first("nop", row)), number(first("floor", row) - first("nop", row))] +
           [number(over[device].get(row)) for device in over]
           for row, label in LOOPS.items() if row in count["floor"]])
    table("In all, instructions", [""] + list(count),
          [[label] + [number(first(device, row)) for device in count]
           for row, label in (FIO | WHOLE).items()])
    trees = [device for device in count if "tree-memory" in count[device]]
    table("Memory for the tree, 256 MiB of data", [""] + trees,
          [["KiB"] + [number(first(device, "tree-memory")) for device in trees],
           ["share of the data"] + [f"{first(device, 'tree-memory') / 2621.44:.2f}%"
                                    for device in trees]])


def print_first(first):
    table("First write of 1 MiB with init_on_alloc=0, instructions", [""] + list(first),
          [[WHOLE["first-1m"]] + [number(rows["first-1m"][0]) for rows in first.values()]])


def print_each(title, labels, figures):
    table(title, [""] + list(figures),
          [[label] + [number(rows[row][0]) if row in rows else "" for rows in figures.values()]
           for row, label in labels.items()])


def print_clones(figures):
    print_each("Clones, instructions and KiB", CLONES, figures["clones"])
    print_each("Write cache, instructions", CACHES, figures["caches"])


def print_iostats(count):
    disks = [device for device in count if "iostats-read-4k" in count[device]]
    table("queue/iostats=1, further instructions for an I/O", [""] + disks,
          [[LOOPS[row]] + [number(count[device]["iostats-" + row][0] - count[device][row][0])
                           for device in disks] for row in ("read-4k", "write-4k")])


def print_wall(wall):
    def cell(values):
        if not values:
            return ""
        low, *_, high = sorted(values)[1:-1] if len(values) > 3 else sorted(values) * 2
        middle = statistics.median(values) / 1000
        return f"{middle:.{0 if middle >= 1000 else 1}f} ±{(high - low) / 2000 / middle:.0%}"

    rounds = max(len(values) for rows in wall.values() for values in rows.values())
    table(f"Time, µs: median of {rounds} rounds, and half the range without the best and the worst",
          [""] + list(wall),
          [[label] + [cell(rows.get(row)) for rows in wall.values()]
           for row, label in (LOOPS | FIO | WHOLE).items()])


def print_cycles(cycles):
    """the best round, and by how much the median is above it"""
    def cell(device, row):
        values = cycles[device].get(row)
        if not values:
            return ""
        best = min(values)
        above = best - min(cycles["linear"][row]) if device not in MEASURING and row in cycles["linear"] else best
        return f"{number(above)} ±{number(statistics.median(values) - best)}"

    rounds = len(cycles["linear"]["read-4k"])
    table(f"Cycles, best of {rounds} rounds (± how far the median is above it): those of disks are what "
          "they cost above the linear buffer, what comes after the overwrites in all",
          [""] + list(cycles), [[label] + [cell(device, row) for device in cycles]
                                for row, label in CYCLES.items()])


def print_pairs(pairs):
    """what the other CPU does costs a read, and an insert"""
    def cell(device, row, alone):
        values = pairs[device].get(row)
        if not values:
            return ""
        if row == alone:
            return number(min(values))
        return f"{min(values) - min(pairs[device][alone]):+.0f} ±{statistics.median(values) - min(values):.0f}"

    for alone, title, rows in PAIRS:
        devices = [device for device in pairs if alone in pairs[device]]
        table(title, [""] + devices, [[label] + [cell(device, row, alone) for device in devices]
                                      for row, label in rows.items()])


def report_cycles(base, paths):
    figures = read(paths)
    print_cycles(figures["cycles"])
    print_pairs(figures["pairs"])
    with open(base + ".json", "w", encoding="ascii") as out:
        json.dump(figures, out, indent=1)
        out.write("\n")
    print(f"\nThe figures are in {base}.json")


def slower_than_brd(wall):
    """rows in which mybrd does less than SLOWER of what brd does in a time"""
    if "mybrd" not in wall or "brd" not in wall:
        return []
    speed = {row: statistics.median(wall["brd"][row]) / statistics.median(values)
             for row, values in wall["mybrd"].items() if row in wall["brd"]}
    return [f"{(LOOPS | FIO | WHOLE)[row]}: {times:.2f} of brd's speed"
            for row, times in speed.items() if times < SLOWER]


# A chart brings its own background, for viewers that know of no dark mode.
STYLE = """
.card { fill: #fff } text { font: 12px sans-serif; fill: #24292f } .soft { fill: #57606a }
.title { font-weight: bold; font-size: 14px } .ours { font-weight: bold }
.read { fill: #2f81f7 } .write { fill: #e3893b }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117 } text { fill: #e6edf3 } .soft { fill: #9198a1 } }
"""


def chart(title, subtitle, keys, panels):
    """Panels of horizontal bars, two in a row, as SVG that a README can show.

    keys: (CSS class, name); panels: (title, rows, scale) with rows of
    (label, [(CSS class, value)]), and scale 'log' or 'linear'
    """
    left_of_bars, longest, thick = 78, 240, 11
    tops, top = [], 62
    for i in range(0, len(panels), 2):
        tops.append(top)
        top += 40 + max(sum(len(bars) * (thick + 1) + 8 for _, bars in rows)
                        for _, rows, _ in panels[i:i + 2])
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{top}" '
           f'viewBox="0 0 800 {top}" role="img">', f"<style>{STYLE}</style>",
           '<rect class="card" width="100%" height="100%" rx="6"/>',
           f'<text class="title" x="8" y="20">{title}</text>',
           f'<text class="soft" x="8" y="38">{subtitle}</text>']
    for i, (css, name) in enumerate(keys):
        x = 800 - 85 * (len(keys) - i)
        svg.append(f'<rect class="{css}" x="{x}" y="29" width="10" height="10"/>'
                   f'<text x="{x + 15}" y="38">{name}</text>')
    for i, (name, rows, scale) in enumerate(panels):
        x, y = 8 + 400 * (i % 2), tops[i // 2]
        svg.append(f'<text class="title" x="{x}" y="{y}">{name}</text>')
        most = max(value for _, bars in rows for _, value in bars)
        y += 12
        for label, bars in rows:
            ours = ' class="ours"' if label.startswith(("mybrd", "rcu")) else ""
            svg.append(f'<text{ours} x="{x}" y="{y + len(bars) * (thick + 1) / 2 + 4}">{label}</text>')
            for css, value in bars:
                part = math.log10(max(value, 1)) / 7 if scale == "log" else value / (most or 1)
                width = longest * max(part, 0)
                svg.append(f'<rect class="{css}" x="{x + left_of_bars}" y="{y}" '
                           f'width="{width:.1f}" height="{thick}"/>'
                           f'<text{ours} x="{x + left_of_bars + width + 5:.1f}" '
                           f'y="{y + thick - 1}">{value:,.0f}</text>')
                y += thick + 1
            y += 8
    return "\n".join(svg + ["</svg>", ""])


def overhead_chart(over, cycles, kernel):
    sizes = [("4k", "4 KiB"), ("64k", "64 KiB"), ("1m", "1 MiB, page by page"),
             ("1m-huge", "1 MiB, hugepage buffer")]
    panels = [(f"{name}: instructions", [(device.replace("mybrd_", "mybrd "),
                                          [("read", rows["read-" + size]), ("write", rows["write-" + size])])
                                         for device, rows in over.items()], "log") for size, name in sizes]
    if cycles:
        best = {device: {row: min(values) for row, values in rows.items()} for device, rows in cycles.items()}
        panels += [(f"{name}: cycles", [(device.replace("mybrd_", "mybrd "),
                                         [(op, rows[f"{op}-{size}"] - best["linear"][f"{op}-{size}"])
                                          for op in ("read", "write")])
                                        for device, rows in best.items() if device not in MEASURING], "log")
                   for size, name in sizes[:2]]
    return chart(
        "What a RAM disk costs above the copy itself: instructions and cycles for an I/O",
        f"Linux {kernel}, direct I/O; less is better; the scale is logarithmic",
        [("read", "read"), ("write", "write")], panels)


def report_locks(kernel, seconds, base, paths):
    def middle(kind, row):
        # Of waits, the shortest: what else the host does only makes them longer.
        return (min if row == "longest" else statistics.median)(figures[kind][row])

    figures = read(paths)["locks"]
    timed = [kind for kind in figures if "inside" in figures[kind]]
    rows = {f"{writer}-{readers}": f"lookups/s, readers: {readers}, writer: {writers}"
            for writer, writers in (("none", "no"), ("busy", "one")) for readers in (1, 2, 4)}
    rows |= {"inside": "lookups while the writer is inside, 100 ms",
             "longest": "longest wait of a reader meanwhile, µs (best round)"}
    if "none" in figures:
        table("Instructions for a lookup", [""] + list(figures),
              [["with the lock"] + [number(middle(kind, "instructions")) for kind in figures],
               ["of these, the lock"] + [number(middle(kind, "instructions") -
                                                middle("none", "instructions")) for kind in figures]])
    table("One tree, 4 CPUs; medians of 5 rounds", [""] + timed,
          [[label] + [number(middle(kind, row)) for kind in timed] for row, label in rows.items()])
    with open(base + ".json", "w", encoding="ascii") as out:
        json.dump({"kernel": kernel, "seconds": int(seconds), "figures": figures}, out, indent=1)
        out.write("\n")

    panels = [(title, [(kind, [(css, middle(kind, row) / unit) for css, row in bars])
                       for kind in timed], "linear") for title, unit, bars in (
        ("Thousands of lookups a second, 4 readers", 1000, (("read", "none-4"), ("write", "busy-4"))),
        ("Lookups while a writer is inside for 100 ms", 1, (("write", "inside"),)))]
    if "none" in figures:
        panels += [("Instructions for a lookup", [(kind, [("read", middle(kind, "instructions"))])
                                                  for kind in timed], "linear")]
    panels += [("Longest wait of a reader, ms",
                [(kind, [("write", middle(kind, "longest") / 1000)]) for kind in timed], "linear")]
    with open(base + ".svg", "w", encoding="utf-8") as out:
        out.write(chart("The same radix tree under RCU and under locks",
                        f"Linux {kernel}, 4 CPUs", [("read", "no writer"), ("write", "a writer")],
                        panels))
    print(f"\n{seconds} s; the figures are in {base}.json, the chart in {base}.svg")


def report_scale(kernel, seconds, base, paths):
    def spread(values, unit=1):
        return f"{statistics.median(values) / unit:,.0f} ({min(values) / unit:,.0f} to {max(values) / unit:,.0f})"

    figures = read([path for path in paths if os.path.exists(path)])
    scale = figures["scale"]
    print("\nMedians of 5 rounds, and in brackets the least and the most")
    table("Thousands of reads a second, 4 KiB", ["", "mybrd", "brd"],
          [[f"readers: {nr}, {what}"] + [spread(scale[device][f"{row}-{nr}"], 1000)
                                         for device in ("mybrd", "brd")]
           for row, what in (("same", "all of one page"), ("apart", "each of its own"))
           for nr in (1, 2, 4)])
    table("Disks that come and go together, ms", ["", "insmod", "rmmod"],
          [[nr] + [spread(scale["targets-" + nr][row]) for row in ("create", "remove")]
           for nr in ("1", "16", "256")])
    print(f"\nGrace periods that the removal of 256 waits for: {scale['targets-256']['grace-periods'][0]:.0f}")
    ours = scale["mybrd"]
    table("Reads beside a discard of 4 GiB: 99.9% take less than so many µs", ["", "p99.9"],
          [["idle", spread(ours["idle"], 1000)], ["meanwhile", spread(ours["discarding"], 1000)]])
    times = statistics.median(ours["discarding"]) / statistics.median(ours["idle"])
    print(f"\nThat is {times:.1f} times as much (aim: 5); the discard takes {spread(ours['discard'], 1e6)} ms")
    if "depth" in figures:
        floor = figures["depth"]["floor"]["read-4k"][0]
        table("Instructions of a 4 KiB read above the floor, by the size of the disk",
              ["size", "instructions"],
              [[size, number(figures["depth"]["depth-" + size]["sparse-4k"][0] - floor)]
               for size in ("256K", "16M", "1G", "64G")])
    with open(base + ".json", "w", encoding="ascii") as out:
        json.dump({"kernel": kernel, "seconds": int(seconds), "figures": figures}, out, indent=1)
        out.write("\n")
    print(f"\n{seconds} s; the figures are in {base}.json")
    return times > 5 or scale["targets-256"]["grace-periods"] != [1]


def report_all(kernel, seconds, base, paths):
    figures = read(paths)
    result = {"kernel": kernel, "seconds": int(seconds)}
    if "count" in figures:
        print_count(figures["count"])
        print_iostats(figures["count"])
        print_first(figures["first"])
        print_clones(figures)
        over = overhead(figures["count"])
        result["instructions"] = {d: {r: v[0] for r, v in rows.items()}
                                  for d, rows in figures["count"].items()}
        result["instructions_above_floor"] = over
        result["instructions_init_on_alloc_0"] = {d: {r: v[0] for r, v in rows.items()}
                                                  for d, rows in figures["first"].items()}
        with open(base + ".svg", "w", encoding="utf-8") as out:
            out.write(overhead_chart(over, figures.get("cycles"), kernel))
        for mode in ("clones", "caches"):
            result[mode] = {d: {r: v[0] for r, v in rows.items()} for d, rows in figures[mode].items()}
    if "pairs" in figures:
        print_cycles(figures["cycles"])
        print_pairs(figures["pairs"])
        result |= {mode: figures[mode] for mode in ("cycles", "pairs")}
    print_wall(figures["wall"])
    result["nanoseconds"] = {
        d: {r: {"median": statistics.median(v), "min": min(v), "max": max(v), "rounds": v}
            for r, v in rows.items()} for d, rows in figures["wall"].items()}
    with open(base + ".json", "w", encoding="ascii") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(f"\n{seconds} s; the figures are in {base}.json" +
          (f", the chart in {base}.svg" if "count" in figures else ""))
    # Emulated, time says more about the emulator: there the instructions are what counts.
    slower = [] if "count" in figures else slower_than_brd(figures["wall"])
    if slower:
        print("\nToo slow, below " + str(SLOWER) + ": " + "; ".join(slower))
    return bool(slower)


def guard(baseline, path):
    """for each row a line: a status, what was measured, and a remark, with tabs between them.
    A row of the baseline that was not measured is a failure, too."""
    with open(baseline, encoding="ascii") as lines:
        rows = json.load(lines)
    over = overhead(read([path])["guard"])["mybrd"]
    for row, was in rows.items():
        now = over.get(row, float("nan"))
        print(int(not now <= was * GROWTH),
              f"{LOOPS[row]}: {now:.1f} instructions above the floor, baseline {was:.1f}",
              "that is less: time for scripts/bench/run --update" if now < was / GROWTH else "", sep="\t")


def update(baseline, path):
    over = overhead(read([path])["guard"])["mybrd"]
    with open(baseline, "w", encoding="ascii") as out:
        json.dump({row: round(value, 1) for row, value in over.items()}, out, indent=1)
        out.write("\n")
    print(f"{baseline}: " + ", ".join(f"{LOOPS[r]} {v:.0f}" for r, v in over.items()))


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "quick":
        print_count(read(args)["quick"])
    elif what == "clones":
        print_clones(read(args))
    elif what == "cycles":
        report_cycles(args[0], args[1:])
    elif what == "all":
        return report_all(*args[:3], args[3:])
    elif what == "locks":
        report_locks(*args[:3], args[3:])
    elif what == "scale":
        return report_scale(*args[:3], args[3:])
    elif what == "update":
        update(*args)
    elif what == "guard":
        guard(*args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
