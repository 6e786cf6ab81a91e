#!/usr/bin/python3
"""The page that scripts/report.py makes, in a browser: it shows what the CSV files hold, follows
its controls, and bad input leaves no page. Without Chromium the tests fail; they skip nothing.
"""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True  # tests leave nothing in the source tree

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

import suites

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "scripts/report.py"
OLDER = ROOT / "results/2026-11-22-dead-peer"
UNITS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}
# Texts of a suite and its comparison of which the page makes no use, or which choose what it says.
NOT_SHOWN = {"a run", "5s", "measured", "idle", "running", "less", "ns", "benjamini-hochberg",
             "0.1.0 0123456", "rare: fin-block: epipe"}
COLUMNS = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p99.9", "100": "max"}


def make_page(folders, out, *more):
    return subprocess.run([sys.executable, REPORT, *folders, "-o", out, *more],
                          capture_output=True, text=True, check=False)


def lines_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def nanoseconds(text):
    """A time as the page shows it, and half of its last digit."""
    figure, unit = re.fullmatch(r"([0-9.]+)(s|ms|us|ns)", text).groups()
    decimals = len(figure.partition(".")[2])
    return float(figure) * UNITS[unit], 0.5001 * 10 ** -decimals * UNITS[unit]


def start_browser(folder):
    """Chromium with a profile, a home and temporary files in a folder of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
                     "--window-size=1280,900", f"--user-data-dir={folder}/profile"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder),
                   "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder),
                   "XDG_RUNTIME_DIR": str(folder)}
    service = Service("/usr/bin/chromedriver", env=environment, log_path=os.devnull)
    return webdriver.Chrome(options=options, service=service)


def processes_of(folder):
    """Processes that have this folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append(path.parent.name)
        except OSError:  # it ended meanwhile
            pass
    return found


class PageTest(unittest.TestCase):
    """One browser for all tests; each test loads its page anew."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="report-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.pair, cls.comparison = suites.make_pair(cls.folder)
        cls.page = cls.folder / "pair.html"
        done = make_page(cls.pair, cls.page, "--compare", cls.folder / "compare.json")
        assert done.returncode == 0, done.stderr
        browser_folder = cls.folder / "browser"
        browser_folder.mkdir()
        cls.browser = start_browser(browser_folder)
        cls.addClassCleanup(cls.stop_browser, browser_folder)

    @classmethod
    def stop_browser(cls, folder):
        cls.browser.quit()
        limit = time.monotonic() + 5
        while processes_of(folder) and time.monotonic() < limit:
            time.sleep(0.05)
        assert not processes_of(folder), "the browser left processes"

    def open(self, page=None, dark=False, media="", width=1280):
        self.emulate(dark, media)
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        for kind in ("browser", "performance"):
            self.browser.get_log(kind)
        self.browser.get((page or self.page).as_uri())

    def emulate(self, dark=False, media=""):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "media": media, "features": [{"name": "prefers-color-scheme",
                                          "value": "dark" if dark else "light"}]})

    def tearDown(self):
        """Whatever a test did: no error on the console, nothing from the network."""
        self.assertEqual([], [entry["message"] for entry in self.browser.get_log("browser")])
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.assertRegex(message["params"]["request"]["url"], "^(file|data):")

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def visible(self, selector, of="element"):
        """The elements in sight, in one call: asking the driver for each takes seconds."""
        return self.run_script(
            "return [...document.querySelectorAll(arguments[0])].filter("
            "(element) => element.checkVisibility() && element.getClientRects().length > 0)"
            f".map((element) => {of})", selector)

    def texts(self, selector):
        return self.visible(selector, "element.innerText.trim()")

    def cells(self, selector):
        """The lines in sight of a table, each as the texts of its cells."""
        return self.visible(selector, "[...element.cells].filter((cell) => !cell.hidden)"
                            ".map((cell) => cell.innerText.trim())")

    def run_script(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def datasets(self, chart):
        return self.run_script(
            "return Chart.getChart(arguments[0]).data.datasets.map(d => "
            "({label: d.label, hidden: d.hidden, data: d.data, dash: d.borderDash, "
            "point: d.pointStyle, colour: d.borderColor}))", chart)

    def choose(self, row):
        Select(self.find("#row")).select_by_visible_text(row)

    # ---- what it says ----

    def test_title_and_verdict_say_the_answer(self):
        self.open()
        self.assertEqual("Suite abrupt: new against old", self.find("h1").text)
        self.assertEqual(self.browser.title, self.find("h1").text)
        verdicts = self.texts(".verdict")
        percent = self.row_of("rst-spin")["quantities"][0]["changes"][0]["percent"]
        self.assertEqual(["1 finding changed in kind: survivors learn something else than before.",
                          "new against old: 1 row is slower, none is faster."], verdicts)
        overview = self.find("header table").text
        for fact in ("6.1.0-test", "6.18.0-test", "abrupt", "2026-11-20T10:00:00Z"):
            self.assertIn(fact, overview)
        section = self.find("section").text
        for fact in (f"Slower: rst-spin (median latency +{percent:.1f} %)", "new drifted: 3 of 7 "
                     "tests", "timers are scaled down", "+16.2 % (+9.1 to +24.0 %) in new"):
            self.assertIn(fact, section)
        self.find("section details summary").click()
        self.assertIn("a change of 5 % would be seen in 2 of 3 rows", self.find("section").text)

    def test_sections_stand_in_the_order_of_their_weight(self):
        self.open()
        self.assertEqual(
            ["verdict", "kinds", "changes", "latency", "timeline", "findings", "frontier",
             "environment", "commands"], self.visible("h2", "element.id"))
        self.assertEqual(["late-reset: finding econnreset: 0 of 8000 in old, 7200 of 8000 in new"],
                         self.texts(".kinds li"))
        self.find("#kinds ~ details summary").click()
        self.assertEqual(["fin-block: finding epipe: 0 of 8000 and 1 of 8000"],
                         self.texts("#kinds ~ details li"))

    def test_changes_equal_the_comparison(self):
        self.open()
        self.find("#only-changed").click()
        lines = iter(self.cells("#changes-table tbody tr"))
        for row in self.comparison["rows"]:
            if not row["quantities"]:
                continue
            self.assertEqual([row["row"] + ": whole run" * (row["strategy"] == "-")], next(lines))
            for quantity in row["quantities"]:
                cells = next(lines)
                change = quantity["changes"][0]
                for side, cell in zip(quantity["sides"], cells[1:3]):
                    for text, value in zip(re.findall("[0-9.]+[mun]?s", cell),
                                           (side["median"], side["low"], side["high"])):
                        figure, half = nanoseconds(text)
                        self.assertAlmostEqual(value, figure, delta=half)
                figures = [float(text.replace("\u2212", "-"))
                           for text in re.findall("[+\u2212][0-9.]+", cells[3])]
                for value, figure in zip((change["percent"], change["low"], change["high"]),
                                         figures, strict=True):
                    self.assertAlmostEqual(value, figure, delta=0.0501)
                self.assertEqual("0.029" if change["verdict"] == "worse" else "0.69", cells[5])
                self.assertEqual({"worse": "slower", "same": "~"}[change["verdict"]], cells[6])
        self.assertEqual([], list(lines))

    def test_only_what_changed(self):
        self.open()
        box = self.find("#only-changed")
        self.assertTrue(box.is_selected())
        lines = "#changes-table tbody tr:not(.group)"
        self.assertEqual(1, len(self.visible(lines)))
        self.assertEqual(["rst-spin"], self.texts("#changes-table .group"))
        box.click()
        self.assertEqual(sum(len(row["quantities"]) for row in self.comparison["rows"]),
                         len(self.visible(lines)))
        box.click()
        self.assertEqual(1, len(self.visible(lines)))

    def test_figures_equal_the_csv(self):
        self.open()
        self.assertEqual("late-reset", Select(self.find("#row")).first_selected_option.text)
        for row, *_ in suites.ROWS[:3]:
            self.choose(row)
            group, *lines = self.cells("#numbers-table tbody tr")
            self.assertEqual([row], group)
            for side, (folder, cells) in enumerate(zip(self.pair, lines, strict=True)):
                curve = [point for point in lines_of(folder / "latency.csv")
                         if point["row"] == row and point["since"] == "issued"]
                self.assertEqual(folder.name, cells[0])
                measured = [each for each in lines_of(folder / "summary.csv")
                            if each["row"] == row and each["warm_up"] == "0"]
                self.assertEqual(sum(int(each["found"]) for each in measured),
                                 int(cells[1].replace(",", "")))
                heads = self.texts("#numbers-table thead th")
                by_name = {COLUMNS[point["percentile"]]: int(point["latency_ns"])
                           for point in curve if point["percentile"] in COLUMNS}
                self.assertEqual(5, len(by_name))
                for name, value in by_name.items():
                    figure, half = nanoseconds(cells[heads.index(name)])
                    self.assertAlmostEqual(value, figure, delta=half)
                drawn = self.datasets("latency-chart")[side]
                self.assertEqual(folder.name, drawn["label"])
                self.assertEqual([int(point["latency_ns"]) for point in curve],
                                 [point["x"] for point in drawn["data"]])
                self.assertEqual([float(point["percentile"]) for point in curve],
                                 [point["percentile"] for point in drawn["data"]])
                heights = [point["y"] for point in drawn["data"]]
                self.assertEqual(sorted(heights), heights)
                self.assertAlmostEqual(1, heights[[point["percentile"] for point in
                                                   drawn["data"]].index(90)])

    def test_a_row_without_a_finding_says_so(self):
        self.open()
        self.choose("silent-plain (nothing found)")
        self.assertTrue(self.find("#no-curve").is_displayed())
        self.assertFalse(self.find("#latency-chart").is_displayed())
        self.assertEqual(["old", "0", "8,000"], self.cells("#numbers-table tbody tr")[1][:3])
        self.choose("rst-spin")
        self.assertFalse(self.find("#no-curve").is_displayed())
        self.assertTrue(self.find("#latency-chart").is_displayed())

    def test_the_chosen_row_is_followed(self):
        self.open()
        before = self.datasets("latency-chart"), self.datasets("timeline-chart")
        self.choose("rst-spin")
        self.assertEqual("lastack run --connections 2k --mix rst-linger --watch recv",
                         self.find("#row-command").text)
        self.assertEqual({"rst-spin"}, set(self.texts(".row-name")))
        for old, new in zip(before, (self.datasets("latency-chart"),
                                     self.datasets("timeline-chart"))):
            self.assertNotEqual(old[0]["data"], new[0]["data"])
        self.assertIn("rst-spin", self.find("#latency-chart").get_attribute("aria-label"))

    def test_a_side_is_switched_everywhere(self):
        self.open()
        self.assertEqual(6, len(self.visible("input[data-side]")))
        self.find("#timeline ~ .bar input[data-side='1']").click()
        self.assertEqual([True, False] * 3, self.visible("input[data-side]", "element.checked"))
        for chart in ("latency-chart", "timeline-chart", "frontier-chart"):
            for dataset in self.datasets(chart):
                self.assertEqual(dataset["label"].startswith("new"), dataset["hidden"], chart)
        self.assertEqual(["old"], self.texts("#numbers-table tbody tr:not(.group) th"))
        self.choose("rst-spin")  # the switch outlives the row
        self.assertEqual([False, True],
                         [dataset["hidden"] for dataset in self.datasets("latency-chart")])
        self.find("#latency ~ .bar input[data-side='1']").click()
        self.assertEqual([False, False],
                         [dataset["hidden"] for dataset in self.datasets("latency-chart")])
        self.assertEqual(["old", "new"], self.texts("#numbers-table tbody tr:not(.group) th"))

    def test_sides_differ_without_colour(self):
        self.open()
        old, new = self.datasets("latency-chart")
        for look in ("dash", "point", "colour"):
            self.assertNotEqual(old[look], new[look])

    def test_timeline_equals_the_csv(self):
        self.open()
        self.choose("fin-block")
        self.find("#timeline-twin summary").click()
        table = self.cells("#timeline-table tbody tr")
        for side, folder in enumerate(self.pair):
            bins = lines_of(folder / "02-fin-epoll/rep-1/timeline.csv")
            injected, found = self.datasets("timeline-chart")[2 * side:2 * side + 2]
            for dataset, column in ((injected, "injected"), (found, "found")):
                self.assertEqual(f"{folder.name}: {column}", dataset["label"])
                drawn = [(point["x"], point["y"]) for point in dataset["data"]]
                rates = [(int(each["start_ns"]) / 1e9, int(each[column]) * 100) for each in bins]
                self.assertEqual(rates + [(0.1, rates[-1][1])], drawn)  # the last bin's end
            names = ("injected", "found", "in_flight")
            self.assertEqual([[f"{int(each['start_ns']) / 1e9:g} s",
                               *[each[name] for name in names]] for each in bins],
                             [line[:1] + line[1 + 3 * side:4 + 3 * side] for line in table])

    def test_timelines_of_runs_where_the_suite_has_none(self):
        """Bins of 100 ms, as before they told their width."""
        folder = self.folder / "runs"
        folder.mkdir()
        pair, _ = suites.make_pair(folder)
        (pair[0] / "timeline.csv").unlink()
        for path in pair[0].glob("*/*/timeline.csv"):
            path.write_text("\n".join(line.rpartition(",")[0]
                                      for line in path.read_text().splitlines()) + "\n")
        page = self.folder / "runs.html"
        self.assertEqual("", make_page(pair[:1], page).stderr)
        self.open(page)
        self.choose("fin-block")
        bins = lines_of(pair[0] / "02-fin-epoll/rep-1/timeline.csv")
        self.assertEqual([int(each["found"]) * 10 for each in bins],
                         [point["y"] for point in self.datasets("timeline-chart")[1]["data"]][:-1])

    def test_findings_matrix(self):
        self.open()
        self.assertEqual(["Close strategy", "recv", "epoll"], self.texts("#matrix thead th"))
        lines = {cells[0]: cells[1:] for cells in self.cells("#matrix tbody tr")}
        self.assertEqual(["econnreset 100 %", "\u2013"], lines["rst-linger"])
        self.assertEqual(["\u2013", "eof 100 %"], lines["fin"])
        self.assertEqual(["nothing 100 %", "\u2013"], lines["silent"])
        self.assertEqual("\u25c6 changed in kind\nold epipe 100 %\n"
                         "new econnreset 90 %, epipe 10 %", lines["fin-then-rst"][0])
        self.assertEqual(1, len(self.all("#matrix .changed-kind")))

    def test_frontier(self):
        self.open()
        quiet = [each for each in lines_of(self.pair[0] / "frontier.csv")
                 if each["load_state"] == "quiet"]
        points, rings = self.datasets("frontier-chart")[:2]
        self.assertEqual([int(each["latency_p50_ns"]) for each in quiet],
                         [point["x"] for point in points["data"]])
        for each, point in zip(quiet, points["data"]):
            if each["survivor_cpu_low_ns"] and float(each["survivor_cpu_low_ns"]) > 0:
                self.assertAlmostEqual(float(each["survivor_cpu_ns"]) / 1e3, point["y"])
            else:  # below all that have a cost
                self.assertLess(point["y"], 49 / 2)
        self.assertEqual([each["latency_p50_ns"] for each in quiet if each["false_alarms"] != "0"],
                         [str(point["x"]) for point in rings["data"]])
        Select(self.find("#state")).select_by_value("cpu-hog")
        self.assertEqual(1, len(self.datasets("frontier-chart")[0]["data"]))
        self.find("#frontier ~ details summary").click()
        table = self.cells("#frontier-table tbody tr")
        self.assertEqual(2 * len(suites.FRONTIER), len(table))
        often = suites.OFTEN.replace(";", ", ")
        self.assertEqual(["probe-3", "old", "heartbeat-scan", often, "quiet", "500 of 500", "110ms",
                          "112ms", "484us", "343 of 500"], table[3])

    def test_environment_and_commands(self):
        self.open()
        self.assertEqual([["kernel.release", "6.1.0-test", "6.18.0-test"],
                          ["kernel.hz", "250", "1000"]],
                         self.cells("#environment-table tbody tr"))
        self.find("#environment ~ details summary").click()
        common = self.find("#environment ~ details").text
        self.assertIn("cpu.model Test CPU", common)
        self.assertNotIn("kernel.hz", common)
        commands = self.find("#commands ~ pre").text.split("\n")
        self.assertEqual(f"lastack suite abrupt --repetitions 4 --seed 7 --out {self.pair[0]}   "
                         "# on kernel 6.1.0-test", commands[0])
        self.assertEqual("lastack compare old new", commands[2])
        self.assertIn(f"report.py {self.pair[0]} {self.pair[1]} -o {self.page}", commands[3])

    # ---- how it behaves ----

    def test_theme(self):
        ground = "return getComputedStyle(document.body).backgroundColor"
        self.open()
        light, line = self.run_script(ground), self.datasets("latency-chart")[0]["colour"]
        self.find("#dark").click()
        self.assertNotEqual(light, self.run_script(ground))
        self.assertNotEqual(line, self.datasets("latency-chart")[0]["colour"])
        self.find("#dark").click()
        self.assertEqual(light, self.run_script(ground))
        self.open(dark=True)
        self.assertTrue(self.find("#dark").is_selected())
        self.assertNotEqual(light, self.run_script(ground))

    def test_contrast(self):
        """Each text against what is behind it: 4.5, as WCAG AA asks; lines of charts: 3."""
        code = """
          const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
          const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255)
            .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
            .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
          const contrast = (one, other) => {
            const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
          };
          const ground = (element) => {
            for (; element; element = element.parentElement) {
              const colour = getComputedStyle(element).backgroundColor;
              if (parts(colour)[3] !== 0) return colour;
            }
          };
          for (const details of document.querySelectorAll("details")) details.open = true;
          const bad = [];
          for (const element of document.body.querySelectorAll("*:not(script):not(option)")) {
            const isText = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            const isLine = element.matches(".swatch, td svg");
            if (!isText && !isLine) continue;
            const value = contrast(getComputedStyle(element).color, ground(element));
            if (value < (isLine ? 3 : 4.5)) bad.push([element.outerHTML.slice(0, 80), value]);
          }
          return bad;"""
        for dark in (False, True):
            self.open(dark=dark)
            self.find("#only-changed").click()
            self.assertEqual([], self.run_script(code))

    def test_keyboard_reaches_everything_in_order(self):
        self.open()
        wanted = self.run_script("""
          const focusable = "a[href], input, select, summary, [tabindex='0']";
          return [...document.querySelectorAll(focusable)].filter((e) => e.checkVisibility());""")
        self.assertGreater(len(wanted), 15)
        seen = []
        for _ in wanted:
            webdriver.ActionChains(self.browser).send_keys(Keys.TAB).perform()
            seen.append(self.browser.switch_to.active_element)
            self.assertEqual("solid", self.run_script(
                "return getComputedStyle(arguments[0]).outlineStyle", seen[-1]))
        self.assertEqual(wanted, seen)
        self.assertEqual("Skip to the verdict", seen[0].get_attribute("textContent"))
        self.find("#only-changed").send_keys(Keys.SPACE)
        self.assertFalse(self.find("#only-changed").is_selected())
        self.assertGreater(len(self.visible("#changes-table tbody tr:not(.group)")), 1)
        self.find("#latency ~ .bar input[data-side='0']").send_keys(Keys.SPACE)
        self.assertTrue(self.datasets("latency-chart")[0]["hidden"])
        self.find("#row").send_keys(Keys.ARROW_UP)
        self.assertEqual(["fin-block"], self.texts("#numbers-table .group"))
        self.find("#dark").send_keys(Keys.SPACE)
        self.assertEqual("dark", self.find("html").get_attribute("data-theme"))
        self.find("#timeline-twin summary").send_keys(Keys.ENTER)
        self.assertTrue(self.find("#timeline-table").is_displayed())

    def test_every_control_and_table_has_a_name(self):
        self.open()
        for control in self.all("input, select"):
            self.assertTrue(control.accessible_name, control.get_attribute("outerHTML"))
        for canvas in self.all("canvas"):
            self.assertIn("the table below", canvas.get_attribute("aria-label"))
        self.assertEqual(len(self.all("table")), len(self.all("table > caption")))
        self.assertEqual([], self.all("th:not([scope])"))
        levels = [int(each.tag_name[1]) for each in self.all("h1, h2, h3")]
        self.assertEqual(1, levels.count(1))
        self.assertTrue(all(after - before <= 1 for before, after in zip(levels, levels[1:])))

    def test_phone(self):
        for page in (self.page, self.hostile_pages()[0]):
            self.open(page, width=375)
            self.find("#only-changed").click()
            for summary in self.all("summary"):
                summary.click()
            self.assertEqual(375, self.run_script("return document.documentElement.scrollWidth"))
            for canvas in self.visible("canvas"):
                self.assertLessEqual(canvas.size["width"], 375)

    def test_print(self):
        self.open(dark=True)
        folded = len(self.visible("details tr"))
        self.emulate(dark=True, media="print")
        time.sleep(0.1)  # the page hears of it by an event
        self.assertEqual([], self.visible("input, select, .skip"))
        self.assertGreater(len(self.visible("details tr")), folded + 20)
        self.assertEqual(len(self.all("#numbers-table tr")),
                         len(self.visible("#numbers-table tr")))
        self.assertEqual(len(self.all("#changes-table tr")),
                         len(self.visible("#changes-table tr")))
        self.assertEqual("rgb(255, 255, 255)", self.run_script(
            "return getComputedStyle(document.body).backgroundColor"))
        self.assertTrue(self.visible("canvas"))
        self.emulate(dark=True)
        time.sleep(0.1)
        self.assertEqual(folded, len(self.visible("details tr")))
        self.assertEqual("dark", self.find("html").get_attribute("data-theme"))

    def test_charts_do_not_move(self):
        self.open()
        self.assertFalse(self.run_script(
            "return Chart.getChart('latency-chart').options.animation"))

    # ---- other input ----

    @classmethod
    def hostile_pages(cls):
        """Of two hostile suites, and of one whose folder has a hostile name; and their texts."""
        both, one = cls.folder / "hostile.html", cls.folder / "hostile-one.html"
        folder = cls.folder / "hostile"
        if not folder.exists():
            folder.mkdir()
            pair, cls.hostile_texts = suites.make_hostile_pair(folder)
            done = make_page(pair, both, "--compare", folder / "compare.json")
            assert done.returncode == 0, done.stderr
            pair[0].rename(folder / suites.HOSTILE.replace("/", ""))
            done = make_page([folder / suites.HOSTILE.replace("/", "")], one)
            assert done.returncode == 0, done.stderr
        return both, one, cls.hostile_texts

    def test_hostile_text_is_text(self):
        *pages, texts = self.hostile_pages()
        self.assertGreater(len(texts), 60)
        unseen = set(texts)
        for page in pages:
            self.open(page)
            seen = self.run_script("""
              const body = document.body.cloneNode(true);
              for (const script of body.querySelectorAll("script")) script.remove();
              return [body.textContent, ...[...body.querySelectorAll("*")].flatMap(
                (element) => [...element.attributes].map((attribute) => attribute.value)),
                ...data.rows.map((row) => row.command)].join("\\n").replaceAll("_", " ");""")
            unseen -= {text for text in unseen if
                       any(form.replace("_", " ") in seen for form in  # as it is, a setting, JSON
                           (text, text.replace(";", ", "), text.replace('"', '\\"')))}
            self.assertIn(f"econnreset{suites.HOSTILE_FINDING} 100 %", seen)
            self.assertEqual([], self.all("img, u"))
            self.assertEqual(self.find("h1").text, self.browser.title)
            self.assertEqual([], self.run_script("""
              return [...document.querySelectorAll("*")].flatMap((element) =>
                element.getAttributeNames().filter((name) => !/^[a-zA-Z0-9-]+$/.test(name)));"""))
            self.assertEqual(3, len(self.all("script")))
            self.assertIsNone(self.run_script("return window.injected || null"))
            policy = self.find("meta[http-equiv]").get_attribute("content")
            self.assertIn("default-src 'none'", policy)
            self.assertNotRegex(policy, "script-src[^;]*unsafe")
        unseen = {text.removesuffix(suites.HOSTILE) for text in unseen}
        self.assertEqual(NOT_SHOWN, {re.sub(".*/(rep-[0-9]|warm-up)", "a run", text)
                                     for text in unseen})
        self.assertIn(suites.HOSTILE.replace("/", ""), self.find("h1").text)

    def test_hostile_rows_can_be_chosen(self):
        row = f"fin-block{suites.HOSTILE}"
        self.open(self.hostile_pages()[0])
        self.choose(row)
        self.assertEqual([row], self.texts("#numbers-table .group"))
        self.assertEqual([row], self.texts(".row-name"))

    def test_two_modes_stand_beside_their_row(self):
        place = self.folder / "modes"
        place.mkdir()
        pair, _ = suites.make_pair(place)
        suites.with_two_modes(pair[1], "rst-spin", 3)

        def rows_of(row):
            done = make_page(pair, place / "page.html", "--compare", place / "compare.json")
            self.assertEqual("", done.stderr)
            self.open(place / "page.html")
            self.choose(row)
            return self.cells("#numbers-table tbody tr")

        self.assertEqual(3, len(rows_of("rst-spin")))  # of time, noise makes two as well
        for suite in pair:
            suites.in_virtual_time(suite)
        recorded = place / "compare.json"
        recorded.write_text(recorded.read_text().replace('"unit": "ns"', '"unit": "virtual_ns"'))
        rows = rows_of("rst-spin")
        self.assertEqual(4, len(rows))
        self.assertEqual("two modes: 14,079vns (62 %) and 18,687vns (38 %), in 3 of "
                         f"{suites.REPETITIONS} repetitions; the median may be either", rows[3][1])
        self.assertEqual(3, len(rows_of("fin-block")))

    def test_virtual_time_is_named(self):
        place = self.folder / "virtual"
        place.mkdir()
        pair, _ = suites.make_pair(place)
        recorded = place / "compare.json"
        recorded.write_text(recorded.read_text().replace('"unit": "ns"', '"unit": "virtual_ns"'))
        done = make_page([suites.in_virtual_time(pair[0]), pair[1]], place / "mixed.html",
                         "--compare", recorded)
        self.assertEqual(2, done.returncode)
        self.assertIn("they cannot be shown together", done.stderr)
        suites.in_virtual_time(pair[1])
        done = make_page(pair, place / "page.html", "--compare", recorded)
        self.assertEqual("", done.stderr)
        self.open(place / "page.html")
        self.choose("rst-spin")
        median = next(int(line["latency_ns"]) for line in lines_of(pair[0] / "latency.csv")
                      if line["row"] == "rst-spin" and line["percentile"] == "50")
        self.assertIn(f"{median:,}vns", self.find("#numbers-table").text)
        self.assertRegex(self.find("#changes-table").text, r"[0-9]vns .*\n?.*\+[0-9]+\.[0-9]{2} %")
        self.assertIn("in virtual_ns (instructions)", self.find("#numbers-table caption").text)
        for details in self.all("details summary"):
            details.click()
        self.assertIn("CPU per connection and virtual second", self.texts("#frontier-table th"))
        shown = re.sub("[a-z-]+=[0-9a-z.]+", "", self.run_script(  # without settings
            "return [...document.querySelectorAll('table')].map((t) => t.innerText).join('\\n')"))
        self.assertEqual([], re.findall(r"\b[0-9.]+(?: ?[mun]?s)\b", shown))
        titles = self.run_script(
            "return ['latency', 'timeline', 'frontier'].flatMap((name) => Object.values("
            "Chart.getChart(`${name}-chart`).scales)).map((scale) => scale.options.title.text)")
        for title in ("time from the act (t0) to the finding, virtual_ns (instructions)",
                      "virtual seconds since the start of the schedule",
                      "connections per virtual second",
                      "virtual_ns of CPU per connection and virtual second",
                      "median time from the death of the peer to the finding, "
                      "virtual_ns (instructions)"):
            self.assertIn(title, titles)
        ticks = self.run_script("return Chart.getChart('latency-chart').scales.x.ticks"
                                ".map((tick) => tick.label)")
        self.assertTrue(ticks and all(re.fullmatch("[0-9]+(,[0-9]{3})+", tick)
                                      for tick in ticks), ticks)

    def test_one_suite(self):
        page = self.folder / "one.html"
        self.assertEqual("", make_page(self.pair[:1], page).stderr)
        self.open(page)
        self.assertEqual("Suite abrupt: old", self.find("h1").text)
        self.assertEqual(["verdict", "latency", "timeline", "findings", "frontier", "environment",
                          "commands"], self.visible("h2", "element.id"))
        self.assertEqual(1, len(self.datasets("latency-chart")))
        self.assertIn("nothing to compare", self.find(".verdict").text)

    def test_a_suite_of_an_older_lastack(self):
        page = self.folder / "older.html"
        self.assertEqual("", make_page([OLDER], page).stderr)
        self.open(page)
        self.assertEqual([], self.all("#latency-chart, #timeline"))
        self.choose("keepalive-1s-1s-2: silent")
        line = next(each for each in lines_of(OLDER / "summary.csv")
                    if each["run"] == "01-keepalive-1s-1s-2")
        cells = self.texts("#numbers-table tbody tr:not(.group) td")
        self.assertEqual(["1,000", "1,000"], cells[:2])
        for cell, name in zip(cells[2:], ("p50", "p90", "p99", "p999", "max"), strict=True):
            figure, half = nanoseconds(cell)
            self.assertAlmostEqual(int(line[f"latency_{name}_ns"]), figure, delta=half)
        self.assertTrue(self.find("#frontier-chart").is_displayed())

    def test_no_frontier_no_section(self):
        folder = self.folder / "plain"
        folder.mkdir()
        pair, _ = suites.make_pair(folder, with_frontier=False)
        page = self.folder / "plain.html"
        self.assertEqual("", make_page(pair, page, "--compare", folder / "compare.json").stderr)
        self.open(page)
        self.assertEqual([], self.all("#frontier, #frontier-chart"))
        self.assertEqual(2, len(self.datasets("latency-chart")))

    def test_verdicts(self):
        def untestable(document):
            document["kind_changes"] = 0
            for change in self.every_change(document):
                change.update(verdict="untestable", reason="6 repetitions a side are needed",
                              low=None, high=None, adjusted_p=None)
            self.every_change(document)[0].update(verdict="same")  # equal values always are

        def alike(document):
            for change in self.every_change(document):
                change.update(verdict="same")

        def dearer(document):
            for row in document["rows"]:
                percent = 13.0 if row["row"] == "rst-spin" else 12.0  # the largest comes first
                if row["strategy"] == "-":
                    row["quantities"][0]["changes"][0].update(verdict="worse", percent=percent)

        def late(document):
            for row in document["rows"]:
                for quantity in row["quantities"]:
                    quantity["name"] = "lateness"
                    quantity["changes"][0].update(
                        verdict="worse", percent=None, low=None, high=None, difference=1.5e6,
                        difference_low=-2e3, difference_high=3e6, adjusted_p=0.01)

        def forced(document):
            document["refusals"] = ["cpu.model differs: one or another"]
            document["geometric_means"] = []

        def told(change):
            document = json.loads(json.dumps(self.comparison))
            change(document)
            path, page = self.folder / "other.json", self.folder / "other.html"
            path.write_text(json.dumps(document))
            self.assertEqual("", make_page(self.pair, page, "--compare", path).stderr)
            self.open(page)
            return self.find("section").text

        text = told(untestable)
        self.assertIn("With 4 repetitions a side no difference in any figure can be told from "
                      "chance.", text)
        self.assertIn("No findings changed in kind.", text)
        self.assertNotIn("slower", text)
        self.assertNotIn("geometric mean", text)
        self.assertIn("new against old: no difference is shown in any figure.", told(alike))
        self.assertTrue(self.find("#nothing-changed").is_displayed())
        self.find("#only-changed").click()
        self.assertFalse(self.find("#nothing-changed").is_displayed())
        self.assertGreater(len(self.cells("#changes-table tr")), 8)
        text = told(dearer)
        self.assertIn("none is faster, CPU per connection is higher in 4 rows.", text)
        self.assertIn("CPU per connection: higher in rst-spin (+13.0 %), fin-block "
                      "(+12.0 %), late-reset (+12.0 %) and 1 more", text)
        self.assertIn("lateness against the prediction is higher in 4 rows", told(late))
        self.assertEqual(["+1.50ms \u22122.00us to +3.00ms", "", "0.010", "higher"],
                         self.cells("#changes-table tbody tr:not(.group)")[0][3:])
        self.assertIn("although lastack refuses it: cpu.model differs", told(forced))

    def row_of(self, name):
        return next(row for row in self.comparison["rows"]
                    if row["row"] == name and row["strategy"] != "-")

    @staticmethod
    def every_change(document):
        return [change for row in document["rows"] for quantity in row["quantities"]
                for change in quantity["changes"]]


class BadInputTest(unittest.TestCase):
    """One clear line, exit code 2, and no page: an older page stays as it was."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="report-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.pair, self.comparison = suites.make_pair(self.folder)
        self.page = self.folder / "out/page.html"
        self.page.parent.mkdir()
        self.page.write_text("older page")

    def refused(self, *more, folders=None, out=None):
        done = make_page(folders or self.pair, out or self.page, *more)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertEqual("", done.stdout)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)
        self.assertEqual("older page", self.page.read_text())
        self.assertEqual(["page.html"], os.listdir(self.page.parent))
        return done.stderr

    def test_files(self):
        old = self.pair[0]

        def edit(name, change):
            def apply():
                path = old / name
                before = path.read_bytes()
                path.write_bytes(change(before))
                return lambda: path.write_bytes(before)
            return apply

        def without(name):
            def apply():
                (old / name).rename(old / "away")
                return lambda: (old / "away").rename(old / name)
            return apply

        cases = [
            (without("manifest.json"), "manifest.json is missing"),
            (edit("manifest.json", lambda text: b"{"), "manifest.json is not valid JSON"),
            (edit("manifest.json", lambda text: b"[" * 100_000), "is not valid JSON"),
            (edit("manifest.json", lambda text: b"[]"), "schema_version"),
            (edit("manifest.json", lambda text: text.replace(b'version": 1', b'version": 2')),
             "written by a newer lastack"),
            (edit("manifest.json", lambda text: b'{"schema_version": 1, "runs": 3}'), "incomplete"),
            (without("summary.csv"), "summary.csv is missing"),
            (edit("summary.csv", lambda text: b""), "summary.csv is empty"),
            (edit("summary.csv", lambda text: text.replace(b"\n1,", b"\n2,")),
             "line 2 has schema_version 2: written by a newer lastack"),
            (edit("summary.csv", lambda text: text.replace(b"findings", b"other")),
             "lacks the columns findings"),
            (edit("summary.csv", lambda text: text[:-3]), "cut short"),
            (edit("summary.csv", lambda text: text + b"1,rst-spin\n"), "line 22 has 2 fields"),
            (edit("summary.csv", lambda text: text + b'1,"rst\n'), "is not valid CSV"),
            (edit("summary.csv", lambda text: text.replace(b"=2000", b"=many")),
             "findings is 'econnreset=many'"),
            (edit("summary.csv", lambda text: text.replace(b"rst", b"\xff\xfe")), "cannot be read"),
            (edit("summary.csv", lambda text: text.replace(b"rst", b"\0")), "NUL"),
            (edit("latency.csv", lambda text: text.replace(b",8000\n", b",all\n")),
             "count is 'all'; expected a number"),
            (edit("latency.csv", lambda text: text.replace(b",8000\n", b",nan\n")),
             "count is 'nan'; expected a number"),
            (edit("latency.csv", lambda text: text.replace(b",8000\n", b",\n")), "is empty"),
            (edit("frontier.csv", lambda text: text.replace(b"3020000000", b"soon")),
             "latency_p50_ns is 'soon'"),
            (edit("timeline.csv", lambda text: text.replace(b",10000000\n", b"\n")),
             "timeline.csv line 2 has 6 fields; expected 7"),
        ]
        for apply, message in cases:
            with self.subTest(message=message):
                undo = apply()
                self.assertIn(message, self.refused("--compare", self.folder / "compare.json"))
                undo()
        self.assertIn("is not a folder", self.refused(folders=[self.folder / "none"]))

    def test_comparisons(self):
        path = self.folder / "other.json"
        for change, message in [
                (lambda it: it["sides"].pop(), "compares 1 sides; 2 folders are given"),
                (lambda it: it["sides"].reverse(), "other folders, or in another order"),
                (lambda it: it.update(schema_version=2), "written by a newer lastack"),
                (lambda it: it["rows"][0]["quantities"][0].pop("sides"), "is not what `lastack")]:
            document = json.loads(json.dumps(self.comparison))
            change(document)
            path.write_text(json.dumps(document))
            self.assertIn(message, self.refused("--compare", path))
        self.assertIn("is missing", self.refused("--compare", self.folder / "none.json"))

    def test_output(self):
        recorded = ("--compare", self.folder / "compare.json")
        self.assertIn("folder that exists",
                      self.refused(*recorded, out=self.folder / "none/page.html"))
        self.assertIn("name of a file", self.refused(*recorded, out=self.folder))
        done = make_page(self.pair, self.page, *recorded)
        self.assertEqual((0, f"{self.page}\n"), (done.returncode, done.stdout))
        self.assertIn("<!doctype html>", self.page.read_text())
        self.assertEqual(["page.html"], os.listdir(self.page.parent))

    def program(self, text):
        path = self.folder / "lastack"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return "--lastack", path

    def test_lastack_is_asked(self):
        self.assertIn("cannot be run", self.refused("--lastack", self.folder / "none"))
        refusing = self.program("echo 'lastack: other CPUs' >&2; exit 2")
        self.assertIn("--format json` ended with 2: lastack: other CPUs", self.refused(*refusing))
        self.assertIn("printed no valid JSON", self.refused(*self.program("echo hello")))
        asked = self.folder / "asked"
        done = make_page(self.pair, self.page, *self.program(
            f"echo \"$@\" > {asked}; cat {self.folder}/compare.json"))
        self.assertEqual("", done.stderr)
        self.assertEqual(f"compare {self.pair[0]} {self.pair[1]} --format json\n",
                         asked.read_text())
        self.assertIn("is slower", self.page.read_text())


if __name__ == "__main__":
    unittest.main()
