#!/usr/bin/env python3
"""Checks every include under src/ against tools/rooms.txt, and that our headers include no third-party header.

usage: check_rooms.py [SOURCE-FOLDER]
The row with the longest matching name counts. A test (*_test.cpp) may include anything of the rooms its room may include.
"""
import fnmatch
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
GENERATED = {"api": "schema", "document/names.h": "document", "document/names_table.h": "document", "document/names_sorted.h": "document", "tables": "schema"}
# Headers of the system that are part of POSIX or the kernel's interface, fine in a .h when a type is needed.
THIRD_PARTY = re.compile(r'^(fmt/|openssl/|nghttp2/|yaml\.h|sqlite3\.h|nftables/|ldns/|re2/|zlib\.h|gtest/|benchmark/)')


def read_rules(path):
    rules = []
    for line in open(path, encoding="utf-8"):
        line = line.split("#")[0].strip()
        if line:
            name, _, allowed = line.partition(":")
            rules.append((name.strip(), allowed.split()))
    return rules


def rule_of(rules, path):
    """The row of a file: the one whose name is the longest that matches the front of its path."""
    stem = os.path.splitext(path)[0]
    best = None
    for name, allowed in rules:
        depth = name.count("/") + 1
        front = "/".join(stem.split("/")[:depth])
        if fnmatch.fnmatch(front, name) or (depth > 1 and fnmatch.fnmatch(stem, name + "*")):
            if best is None or len(name) > len(best[0]):
                best = (name, allowed)
    return best


def allowed_include(room, row, include):
    name, allowed = row
    if "*" in allowed:
        return True
    own = name.split("/")[0]
    if "/" not in name and include.split("/")[0] == own:
        return True
    for entry in allowed:
        if entry.endswith("/") or "*" in entry:
            if fnmatch.fnmatch(include, entry + "*"):
                return True
        elif include == entry or include.startswith(entry + "/") or os.path.splitext(include)[0] == entry:
            return True
    return False


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    rules = read_rules(os.path.join(root, "tools", "rooms.txt"))
    source = os.path.join(root, "src")
    problems, files = [], 0
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            if not name.endswith((".h", ".cpp")):
                continue
            path = os.path.relpath(os.path.join(folder, name), source)
            row = rule_of(rules, path)
            if row is None:
                problems.append(f"src/{path}: no row of tools/rooms.txt fits")
                continue
            files += 1
            for kind, include in INCLUDE.findall(open(os.path.join(folder, name), encoding="utf-8").read()):
                if kind == "<":
                    if name.endswith(".h") and "test" not in name and THIRD_PARTY.match(include):
                        problems.append(f"src/{path}: a header of ours includes the third-party header <{include}>")
                    continue
                target = next((room + "/" for front, room in GENERATED.items() if include.startswith(front)), include)
                test = name.endswith(("_test.cpp", "_fuzz.cpp")) or "/testing/" in path or name.startswith("test_")
                checked = (path.split("/")[0], dict(rules).get(path.split("/")[0], [])) if test else row
                if not allowed_include(path.split("/")[0], checked, target):
                    problems.append(f"src/{path}: includes \"{include}\", which {row[0]} may not (tools/rooms.txt)")
    for problem in problems:
        print(problem)
    print(f"{files} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
