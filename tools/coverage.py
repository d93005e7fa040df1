#!/usr/bin/env python3
"""coverage.py BUILD-FOLDER: lines that were reached, by room, from what gcc's counters left in a build folder.

A line of a header or template counts once, as reached when any program reached it. Tests and what only they use do not count.
"""
import collections
import concurrent.futures
import json
import os
import subprocess
import sys


def lines_of(data_file):
    """{source: {line: reached}} of one object, by gcov."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--object-directory", os.path.dirname(data_file), data_file], capture_output=True, cwd=os.path.dirname(data_file))
    out = {}
    for text in done.stdout.splitlines():
        try:
            report = json.loads(text)
        except ValueError:
            continue
        for file in report["files"]:
            path = os.path.realpath(os.path.join(report["current_working_directory"], file["file"]))
            lines = out.setdefault(path, {})
            for line in file["lines"]:
                lines[line["line_number"]] = lines.get(line["line_number"], False) or line["count"] > 0
    return out


def main():
    build = os.path.abspath(sys.argv[1])
    source = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src"))
    data = [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in names if name.endswith(".gcda") and "_test.dir" not in folder]
    if not data:
        print("no counters: were the tests built with --coverage, and run?", file=sys.stderr)
        return 1
    merged = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for one in pool.map(lines_of, data):
            for path, lines in one.items():
                if not path.startswith(source + "/") or path.endswith("_test.cpp") or "/testing/" in path or os.path.basename(path).startswith("test_"):
                    continue
                for number, reached in lines.items():
                    merged[path][number] = merged[path].get(number, False) or reached
    rooms, files = collections.Counter(), []
    reached_in = collections.Counter()
    for path, lines in merged.items():
        room = os.path.relpath(path, source).split("/")[0]
        good = sum(lines.values())
        rooms[room] += len(lines)
        reached_in[room] += good
        files.append((len(lines) - good, good, len(lines), os.path.relpath(path, source)))
    for room in sorted(rooms):
        print(f"{room:<14}{reached_in[room]:>8} of {rooms[room]:>7} lines  {100 * reached_in[room] / rooms[room]:5.1f} %")
    print(f"{'all':<14}{sum(reached_in.values()):>8} of {sum(rooms.values()):>7} lines  {100 * sum(reached_in.values()) / max(1, sum(rooms.values())):5.1f} %")
    print("\nmost lines not reached:")
    for missing, good, all_lines, path in sorted(files, reverse=True)[:15]:
        print(f"  {missing:>5} of {all_lines:>5}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
