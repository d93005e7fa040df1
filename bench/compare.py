#!/usr/bin/env python3
"""Compares two builds in one run, as ratios: what is slower on a busy machine is slower for both.

usage: bench/compare.py BEFORE AFTER [--programs document_bench,protobuf_bench] [--filter REGEX] [--rounds 5]
       bench/compare.py BEFORE AFTER --api [--scenarios create,get,list] [--count 5000] [--seconds 5] [--rounds 3]

BEFORE and AFTER are build folders. Programs are run in turns (before, after, after, before, ...), and the least processor
time of each benchmark counts: noise only adds. With --api the `kybern` of each folder serves and the one of AFTER measures
(`kybern bench`): the server's processor time an operation, and operations a second. A ratio below 1 means that AFTER needs
less time.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

READY_LIMIT_S = 30


def least(into, name, value):
    into[name] = min(into.get(name, value), value)


def run_program(folder, program, pattern):
    command = [os.path.join(folder, program), "--benchmark_format=json"]
    if pattern:
        command.append("--benchmark_filter=" + pattern)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or not done.stdout.strip():
        raise SystemExit(f"{command[0]}: {done.stderr.strip() or 'no such benchmark'}")
    scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    return {row["name"]: row["cpu_time"] * scale[row["time_unit"]]
            for row in json.loads(done.stdout)["benchmarks"] if row.get("run_type", "iteration") == "iteration"}


def measure_api(server, bench, port, options):
    """Starts an API server on an empty folder, measures it and ends it; gives {scenario: (cpu seconds, 1 / rate)}."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "log"), "w") as log:
            process = subprocess.Popen([server, "apiserver", "--data-dir", folder, "--secure-port", str(port), "--bind-address", "127.0.0.1"],
                                       stdout=log, stderr=log)
        try:
            config, end = os.path.join(folder, "kubeconfig"), time.time() + READY_LIMIT_S
            while not os.path.exists(config):
                if process.poll() is not None or time.time() > end:
                    raise SystemExit(f"{server} does not start:\n" + open(os.path.join(folder, "log")).read())
                time.sleep(0.05)
            done = subprocess.run([bench, "bench", "--kubeconfig", config, "--scenarios", options.scenarios, "--count", str(options.count), "--seconds",
                                   str(options.seconds), "--server-pid", str(process.pid), "--output", "json", "--progress", "false"], capture_output=True, text=True)
            if not done.stdout.strip():
                raise SystemExit(done.stderr)
            return {row["name"]: (row["serverCpuMicrosecondsPerOperation"] * 1e-6, 1 / row["perSecond"])
                    for row in json.loads(done.stdout)["results"] if "skipped" not in row and row["perSecond"] > 0}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def show(before, after):
    width = max([len(name) for name in after] + [10])
    print(f"{'':<{width}} {'before':>12} {'after':>12} {'ratio':>8}")
    for name in after:
        if name in before:
            print(f"{name:<{width}} {before[name] * 1e6:>9.2f} us {after[name] * 1e6:>9.2f} us {after[name] / before[name]:>8.3f}")
    for name in sorted(set(before) ^ set(after)):
        print(f"{name:<{width}} only {'before' if name in before else 'after'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--programs", default="document_bench,protobuf_bench,machinery_bench")
    parser.add_argument("--filter", default="")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--api", action="store_true")
    parser.add_argument("--scenarios", default="create,get,list,update,delete")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--port", type=int, default=16443)
    options = parser.parse_args()
    folders = [options.before, options.after]
    rounds = options.rounds or (3 if options.api else 5)
    found = [{}, {}]
    for number in range(rounds):
        for side in ((0, 1) if number % 2 == 0 else (1, 0)):
            print(f"\rround {number + 1} of {rounds}, {'after' if side else 'before'} ", end="", file=sys.stderr)
            if options.api:
                programs = [os.path.join(folder, "kybern") for folder in folders]
                for name, (cpu, turn) in measure_api(programs[side], programs[1], options.port, options).items():
                    least(found[side], name + ", server CPU", cpu)
                    least(found[side], name + ", 1/rate", turn)
                continue
            for program in options.programs.split(","):
                for name, seconds in run_program(folders[side], program, options.filter).items():
                    least(found[side], f"{program}: {name}", seconds)
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    show(*found)


if __name__ == "__main__":
    main()
