#!/usr/bin/env python3
"""Every test that tests/conformance.md names is there: a gtest by suite and name, or a function of a Python suite."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
sources = "\n".join(p.read_text() for folder in ("src", "sim", "tests") for p in (root / folder).rglob("*_test.cpp"))
gtests = {f"{suite}.{name}" for suite, name in re.findall(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", sources)}
suites = {name.split(".")[0] for name in gtests}
functions = {
    name: set(re.findall(r"^def (\w+)\(", (root / name).read_text(), re.M))
    for name in ("tests/api_behaviours.py", "tests/access.py")
}
everything = set().union(*functions.values())

missing, rows = [], 0
for line in (root / "tests/conformance.md").read_text().splitlines():
    cells = line.split(" | ")
    if not line.startswith("| ") or len(cells) != 2 or cells[0] == "| behaviour":
        continue
    rows += 1
    shown = re.sub(r"\([^)]*\)", "", cells[1].rstrip(" |"))
    named = 0
    for suite, name in re.findall(r"\b([A-Z]\w+)\.(\w+|\*)", shown):
        named += 1
        if (suite not in suites) if name == "*" else (f"{suite}.{name}" not in gtests):
            missing.append(f"{cells[0][2:]}: {suite}.{name}")
    shown = re.sub(r"\b[A-Z]\w+\.(?:\w+|\*)", "", shown)
    for function in re.findall(r"\b([a-z]+(?:_[a-z0-9]+){2,})\b(?!\.)", shown):
        named += 1
        if function not in everything:
            missing.append(f"{cells[0][2:]}: {function}")
    for path in re.findall(r"\btests/(?:cli_golden|e2e)/[\w.]+", shown):
        named += 1
        if not (root / path).exists():
            missing.append(f"{cells[0][2:]}: {path}")
    if not named:
        missing.append(f"{cells[0][2:]}: no test is named")

print("\n".join(missing))
print(f"{rows} behaviours, {len(missing)} problems")
sys.exit(1 if missing or rows == 0 else 0)
