#!/usr/bin/env python3
"""report_page.py KYBERN: bench/report with small sizes, beside a second cluster, and that its page has every figure."""
import html.parser
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
failed = 0
VOID = {"meta", "br", "rect", "circle", "line", "polyline"}


def check(good, what, more=""):
    global failed
    failed += 0 if good else 1
    print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ': ' + str(more)[:1000]}", flush=True)
    return good


class Page(html.parser.HTMLParser):
    """Whether what begins ends, and what the page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.fetched, self.rows, self.cells, self.headings, self.svgs = [], [], [], [], None, [], 0

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.fetched += [f"{tag} {k}={v}" for k, v in attributes if k in ("src", "href", "srcset", "data")]
        if tag == "svg":
            self.svgs += 1
            check(names.get("viewbox") and names.get("aria-label"), "a plot says what it shows")
        if tag == "h2":
            self.headings.append(names.get("id"))
        if tag == "tr":
            self.cells = []
        if tag in ("td", "th") and self.cells is not None:
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)
        for key in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy"):
            if key in names and tag != "meta" and not math.isfinite(float(names[key])):
                self.wrong.append(f"{tag} {key}={names[key]}")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")
        if tag == "tr":
            self.rows.append(self.cells)
            self.cells = None

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def main():
    kybern = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="kybern-report-test.") as folder:
        log = os.path.join(folder, "log")
        other = subprocess.Popen([kybern, "apiserver", "--data-dir", folder, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", "0"], stdout=open(log, "wb"),
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while " ready port=" not in open(log).read():
                if other.poll() is not None or time.monotonic() > end:
                    check(False, "the other cluster is up", open(log).read())
                    return 1
                time.sleep(0.05)
            out = os.path.join(folder, "page.html")
            done = subprocess.run([os.path.join(HERE, "bench/report"), "--kybern", kybern, "--quick", "--no-pods", "--out", out, "--work-dir", folder, "--beside", os.path.join(folder, "kubeconfig"),
                                   "--name-beside", "the <other> one"], capture_output=True, text=True, timeout=840)
            if not check(done.returncode == 0, "the report is written", done.stdout + done.stderr):
                return 1
            text = open(out).read()
            left = [n for n in os.listdir(folder) if n.startswith("kybern-report.")]
            check(not left, "nothing of the measured cluster is left", left)
        finally:
            other.terminate()
            other.wait(30)
    page = Page()
    page.feed(text)
    check(not page.wrong and not page.open, "the page is whole", (page.wrong, page.open))
    check(not page.fetched and "http" not in re.sub(r"<script.*?</script>", "", text, flags=re.S), "it fetches nothing", page.fetched)
    check(page.headings == ["start", "memory", "throughput", "latency", "lists", "scheduling", "pods", "environment"], "its parts", page.headings)
    check(page.svgs == 4, "its plots", page.svgs)
    check("the &lt;other&gt; one" in text and "<other>" not in re.sub(r"<script.*?</script>", "", text, flags=re.S), "what others are called is text")
    data = json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S).group(1).replace("<\\/", "</"))
    check(all(0 < s < 100 for s, _ in data["starts"]) and len(data["starts"]) == 3, "start-up", data["starts"])
    check(('class="busy"' in text) == (data["load_before"] > data["processors"] / 2), "a busy machine is told of", (data["load_before"], data["processors"]))
    check(1 < data["idle"][0] < 4000 and 0 <= data["idle"][1] < 400, "idle memory and processor", data["idle"])
    check([p for p, _ in data["memory"]] == [0, 500, 1000, 2000] and all(m > 1 for _, m in data["memory"]), "memory by pods", data["memory"])
    check(data["schedule"].get("operations") == 500 and data["schedule"]["perSecond"] > 0, "scheduling", data["schedule"])
    check(data["start_full"][0] == 2000 and data["start_full"][1] > 0, "start with a full store", data["start_full"])
    rows = {r[0]: r for r in page.rows if r}
    for name, r in data["loads"].items():
        check("skipped" not in r and r["failed"] == 0 and r["perSecond"] > 0, f"{name} is measured", r)
        check(len(rows.get(name, [])) == 13 and "×" in rows[name][-1], f"{name} has a row, with its ratio to the other", rows.get(name))
    check(len(data["loads"]) == 12, "all scenarios", list(data["loads"]))
    check(len(data["environment"]) >= 8 and all(v for _, v in data["environment"]), "the environment", data["environment"])
    print("all is well" if not failed else f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
