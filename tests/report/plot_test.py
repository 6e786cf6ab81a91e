#!/usr/bin/python3
"""scripts/plot_latency.py: pictures by suffix, of runs and of suites; bad input leaves none."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True  # tests leave nothing in the source tree

import suites
from in_process import ROOT, call

RUN = ROOT / "results/2026-11-22-rst-spin"


class PlotTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="plot-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.pair, _ = suites.make_pair(self.folder)

    def plot(self, *arguments):
        return call("plot_latency", arguments)

    def test_suites_of_several_hosts_as_svg(self):
        path = self.out / "latency.svg"
        done = self.plot(*(each / "latency.csv" for each in self.pair), "-o", path)
        self.assertEqual((0, f"{path}\n", ""), done)
        svg = path.read_text()
        comments = re.findall("<!-- (.*?) -->", svg)  # matplotlib tells each text in one
        for text in ("A: old (kernel 6.1.0-test)", "B: new (kernel 6.18.0-test)"):
            self.assertIn(text, comments)
        for row, _, _, _, median, _ in suites.ROWS:
            self.assertEqual(median[0] > 0, any(row in each for each in comments), row)

    def test_one_row_as_png(self):
        path = self.out / "latency.png"
        done = self.plot(self.pair[0] / "latency.csv", "-o", path, "--row", "rst-spin")
        self.assertEqual((0, ""), (done[0], done[2]))
        self.assertEqual(b"\x89PNG", path.read_bytes()[:4])

    def test_a_run_in_a_folder_and_alone(self):
        self.assertEqual(0, self.plot(RUN, "--out", self.out, "--format", "svg")[0])
        self.assertEqual(["findings.svg", "latency.svg", "timeline.svg"],
                         sorted(os.listdir(self.out)))
        self.assertIn("in bins of 100 ms", (self.out / "timeline.svg").read_text())
        self.assertEqual(0, self.plot(RUN, "-o", self.out / "one.png")[0])
        self.assertEqual(b"\x89PNG", (self.out / "one.png").read_bytes()[:4])

    def test_bins_tell_their_width(self):
        run = shutil.copytree(RUN, self.folder / "run")
        lines = (run / "timeline.csv").read_text().splitlines()
        (run / "timeline.csv").write_text(
            f"{lines[0]},width_ns\n" + "".join(f"{line},10000000\n" for line in lines[1:]))
        self.assertEqual(0, self.plot(run, "--out", self.out, "--format", "svg")[0])
        self.assertIn("in bins of 10 ms", (self.out / "timeline.svg").read_text())

    def test_virtual_time_is_named_and_not_mixed_with_time(self):
        place = self.folder / "plain"
        place.mkdir()
        out = self.out / "latency.svg"
        one, other = (suites.in_virtual_time(each) for each in self.pair)
        done = self.plot(one / "latency.csv", other / "latency.csv", "-o", out)
        self.assertEqual((0, ""), (done[0], done[2]))
        texts = re.findall("<!-- (.*?) -->", out.read_text())
        self.assertIn("latency since issued, virtual_ns (instructions)", texts)
        self.assertIn("20,000vns", texts)
        self.assertEqual([], [text for text in texts if re.fullmatch("[0-9.]+ (ns|us|ms|s)", text)])
        plain = suites.make_pair(place)[0][0]
        code, _, complaint = self.plot(one / "latency.csv", plain / "latency.csv", "-o", out)
        self.assertEqual(2, code)
        self.assertIn("they cannot be shown together", complaint)

        run = shutil.copytree(RUN, self.folder / "virtual-run")
        document = json.loads((run / "run.json").read_text())
        document["environment"]["lab"] = suites.VIRTUAL_LAB
        (run / "run.json").write_text(json.dumps(document))
        self.assertEqual(0, self.plot(run, "--out", self.out, "--format", "svg")[0])
        timeline = (self.out / "timeline.svg").read_text()
        for text in ("in bins of 100,000,000vns", "(per virtual second)", ", in virtual s"):
            self.assertIn(text, timeline)
        self.assertIn("virtual_ns (instructions)", (self.out / "latency.svg").read_text())

    def test_a_percent_of_virtual_time_is_seen(self):
        out = self.out / "latency.svg"
        suite = suites.in_virtual_time(self.pair[0])
        for spread, least in ((0, 16_000), (160, 16_000)):
            lines = (suite / "latency.csv").read_text().splitlines()
            fields = [line.split(",") for line in lines]
            value, share = (fields[0].index(name) for name in ("latency_ns", "percentile"))
            for line in fields[1:]:
                line[value] = str(round(least + spread * float(line[share]) / 100))
            (suite / "latency.csv").write_text("".join(f"{','.join(line)}\n" for line in fields))
            self.assertEqual(0, self.plot(suite / "latency.csv", "-o", out)[0])
            texts = re.findall("<!-- (.*?) -->", out.read_text())
            ticks = [int(text[:-3].replace(",", "")) for text in texts if text.endswith("vns")]
            within = [tick for tick in ticks if least <= tick <= least + spread]
            self.assertGreater(len(within), 4 if spread else 0, ticks)

    def test_virtual_time_of_probes(self):
        def texts_of(suite):
            out = self.out / "probes.svg"
            self.assertEqual((0, f"{out}\n", ""), call("plot_probes", (suite, "-o", out)))
            return " ".join(re.findall("<!-- (.*?) -->", out.read_text()))

        plain = texts_of(self.pair[0])
        self.assertNotIn("virtual", plain)
        self.assertIn("CPU, us per connection and second", plain)
        virtual = texts_of(suites.in_virtual_time(self.pair[0]))
        self.assertIn("99th percentile, virtual_ns", virtual)
        self.assertIn("CPU, virtual_ns per connection and virtual second", virtual)
        self.assertIn("1,000,000,000vns", virtual)

    def test_the_pictures_of_the_readme(self):
        names = re.findall(r"results/2026-11-23-full/([a-z-]+)\.png",
                           (ROOT / "README.md").read_text())
        for suite in self.pair:
            curves = (suite / "latency.csv").read_text()
            for row, *others in (("rst-spin", "paced-recv", "paced-epoll", "every-strategy"),
                                 ("fin-block", "paced-ppoll", "paced-blocking"),
                                 ("late-reset", "killed-process-descriptors",
                                  "killed-process-armed-requests",
                                  "killed-process-direct-descriptors")):
                lines = [line for line in curves.splitlines() if line.startswith(f"1,{row},")]
                curves += "".join(f"{line.replace(row, name, 1)}\n"
                                  for name in others for line in lines)
            (suite / "latency.csv").write_text(curves)
        script = [ROOT / "scripts/readme_pictures.sh", *self.pair]
        done = subprocess.run([*script, self.out], capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(sorted(f"{name}.png" for name in names), sorted(os.listdir(self.out)))
        for name in names:
            self.assertEqual(b"\x89PNG", (self.out / f"{name}.png").read_bytes()[:4])
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        self.assertEqual((2, "readme_pictures: 2 arguments given; expected none, or A B OUT\n"),
                         (done.returncode, done.stderr))

    def test_bad_input(self):
        suite, out = self.pair[0] / "latency.csv", self.out / "latency.svg"
        for arguments, message in [
                ((suite, "-o", self.out), "suites need -o FILE.png or -o FILE.svg"),
                ((suite, RUN, "-o", out), "mixed"),
                ((suite, "-o", out, "--row", "none"), "has no row 'none'; it has fin-block"),
                ((RUN, "-o", out, "--row", "fin"), "--row picks rows of suites"),
                ((RUN / "latency.csv", "-o", out), "lacks the column row"),
                ((self.folder / "none", "-o", out), "is not a folder")]:
            code, _, complaint = self.plot(*arguments)
            self.assertEqual(2, code)
            self.assertIn(message, complaint)
            self.assertEqual(1, complaint.count("\n"), complaint)
        self.assertEqual([], os.listdir(self.out))


if __name__ == "__main__":
    unittest.main()
