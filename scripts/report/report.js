"use strict";
// Draws the charts and follows the controls. The tables are in the page already; this script only
// shows and hides their lines. Names of rows and sides are text, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

// A side differs from the others in its line and in its point, not only in its colour.
const SIDE_LOOKS = [
  { dash: [], point: "circle" },
  { dash: [7, 4], point: "rect" },
  { dash: [2, 3], point: "triangle" },
  { dash: [9, 3, 2, 3], point: "rectRot" },
  { dash: [14, 5], point: "star" },
];
const PROBE_LOOKS = {
  "keepalive": ["circle", 0], "keepalive+user-timeout": ["rectRounded", 0],
  "user-timeout": ["rect", 0], "retransmit": ["rectRot", 0], "heartbeat-link": ["triangle", 0],
  "heartbeat-wheel": ["triangle", 180], "heartbeat-multishot": ["triangle", 90],
  "heartbeat-timerfd": ["triangle", 270], "heartbeat-scan": ["star", 0],
};
const OTHER_PROBE = ["crossRot", 0];

// ---- words ----

const isVirtual = data.time_unit === "virtual_ns"; // instructions of a guest
const clocked = (word) => isVirtual ? `virtual ${word}` : word;

function durationText(nanoseconds) {
  if (isVirtual) return `${countText(Math.round(nanoseconds))}vns`;
  for (const [unit, scale] of [["s", 1e9], ["ms", 1e6], ["us", 1e3]]) {
    const value = nanoseconds / scale;
    if (value >= 0.9995) return `${Number(value.toPrecision(3))}${unit}`;
  }
  return `${Math.round(nanoseconds)}ns`;
}

const secondsText = (nanoseconds) => `${Number((nanoseconds / 1e9).toFixed(6))} ${clocked("s")}`;
const countText = (count) => count.toLocaleString("en");

// ---- colours: of the style sheet, as the theme has them ----

const taster = document.body.appendChild(document.createElement("span"));
taster.hidden = true;

function colour(name) {
  taster.style.color = `var(--${name})`;
  return getComputedStyle(taster).color;
}

// ---- axes ----

// The coarsest of these steps that give four ticks; within a factor of two or so, even ones.
function logTicks(low, high) {
  for (const steps of [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; ++power)
      for (const step of steps) ticks.push(Number((step * 10 ** power).toPrecision(2)));
    const shown = ticks.filter((tick) => tick >= low && tick <= high);
    if (shown.length >= 4) return shown.map((value) => ({ value }));
  }
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => (high - low) / each <= 8);
  const ticks = [];
  for (let place = Math.ceil(low / step); place * step <= high; ++place)
    ticks.push({ value: Number((place * step).toPrecision(12)) });
  return ticks;
}

function scale(title, more) {
  return {
    title: { display: true, text: title, color: colour("text") },
    grid: { color: colour("line") }, border: { color: colour("faint") },
    ticks: { color: colour("faint"), maxRotation: 0, autoSkipPadding: 12, ...(more.ticks || {}) },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "ticks")),
  };
}

function timeScale(title, low, high) {
  return scale(isVirtual ? `${title}, virtual_ns (instructions)` : title, {
    type: "logarithmic", min: low / 1.05, max: high * 1.05,
    afterBuildTicks: (axis) => { axis.ticks = logTicks(axis.min, axis.max); },
    // With the unit in its title; all digits and the unit would not fit side by side.
    ticks: { callback: (value) => isVirtual ? countText(value) : durationText(value) },
  });
}

const charts = {};

function draw(id, config) {
  const canvas = find(id);
  if (charts[id]) charts[id].destroy();
  charts[id] = new Chart(canvas, {
    ...config,
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, parsing: false,
      interaction: { mode: "nearest", intersect: false },
      ...config.options,
      plugins: { legend: { display: false }, ...(config.options.plugins || {}) },
    },
  });
}

// ---- the state that the controls set ----

const sideIsOn = data.sides.map(() => true);
const chosenRow = () => data.rows[Number(find("row").value)];

// The place of a share on the axis: 90 %, 99 %, 99.9 % are one step apart. Above 1 - 1/n lies only
// the slowest of n findings.
function shareHeight(percentile, count) {
  const rest = Math.max(1 - percentile / 100, 1 / Math.max(count, 2));
  return -Math.log10(rest);
}

function drawLatency() {
  if (!find("latency-chart")) return;
  const row = chosenRow();
  const curves = row.curves;
  const points = curves.flatMap((curve) => curve || []);
  find("latency-chart").parentElement.hidden = points.length === 0;
  find("no-curve").hidden = points.length > 0;
  if (!points.length) {
    if (charts["latency-chart"]) charts["latency-chart"].destroy();
    delete charts["latency-chart"];
    return;
  }
  const times = points.map((point) => Math.max(point[1], 1));
  let top = 1;
  const datasets = data.sides.map((label, side) => {
    const curve = curves[side] || [];
    const count = curve.length ? curve[curve.length - 1][2] : 0;
    const shown = curve.map(([percentile, latency]) =>
      ({ x: Math.max(latency, 1), y: shareHeight(percentile, count), percentile }));
    for (const point of shown) top = Math.max(top, point.y);
    return {
      label, data: shown, hidden: !sideIsOn[side], showLine: true,
      borderColor: colour(`side-${side}`), backgroundColor: colour(`side-${side}`),
      borderDash: SIDE_LOOKS[side].dash, borderWidth: 2,
      pointStyle: SIDE_LOOKS[side].point, pointRadius: 3, pointBorderWidth: 1, tension: 0,
    };
  });
  const shares = [[0, "0 %"], [1 - 0.5, "50 %"], [0.9, "90 %"], [0.99, "99 %"], [0.999, "99.9 %"],
    [0.9999, "99.99 %"], [0.99999, "99.999 %"], [0.999999, "99.9999 %"]]
    .map(([share, text]) => ({ value: -Math.log10(1 - share), label: text }));
  draw("latency-chart", {
    type: "scatter", data: { datasets },
    options: {
      scales: {
        x: timeScale("time from the act (t0) to the finding", Math.min(...times), Math.max(...times)),
        y: scale("survivors that had found out", {
          type: "linear", min: 0, max: Math.ceil(top * 10 + 0.5) / 10,
          afterBuildTicks: (axis) => { axis.ticks = shares.filter((tick) => tick.value <= axis.max); },
          ticks: { callback: (value) => (shares.find((tick) => tick.value === value) || {}).label },
        }),
      },
      plugins: {
        tooltip: {
          callbacks: {
            label: (item) => `${item.dataset.label}: ${item.raw.percentile} % within ` +
              durationText(item.raw.x),
          },
        },
      },
    },
  });
  find("latency-chart").setAttribute("aria-label",
    `Latency curves of ${row.label} for ${data.sides.join(", ")}; the table below has the figures`);
}

function drawTimeline() {
  if (!find("timeline-chart")) return;
  const row = chosenRow();
  const timelines = data.timelines[row.row] || [];
  const bins = timelines.flatMap((timeline) => timeline || []);
  for (const name of all(".row-name")) name.textContent = row.row;
  find("timeline-chart").parentElement.hidden = bins.length === 0;
  find("timeline-twin").hidden = bins.length === 0;
  find("no-timeline").hidden = bins.length > 0;
  fillTimelineTable(timelines);
  if (!bins.length) {
    if (charts["timeline-chart"]) charts["timeline-chart"].destroy();
    delete charts["timeline-chart"];
    return;
  }
  // [start_ns, injected, found, in_flight, width_ns]; after the last event there is nothing to see.
  const end = Math.max(...bins.filter((bin) => bin[1] || bin[2]).map((bin) => bin[0] + bin[4]),
    bins[0][4]);
  const datasets = data.sides.flatMap((label, side) => {
    const timeline = timelines[side] || [];
    // The last bin has a width too.
    const last = timeline[timeline.length - 1];
    const edges = timeline.length ? [...timeline, [last[0] + last[4], ...last.slice(1)]] : [];
    const line = (name, column, more) => ({
      label: `${label}: ${name}`, side, hidden: !sideIsOn[side], stepped: true, showLine: true,
      data: edges.map((bin) => ({ x: bin[0] / 1e9, y: bin[column] / (bin[4] / 1e9), bin })),
      borderColor: colour(`side-${side}`), backgroundColor: colour(`side-${side}`),
      pointStyle: SIDE_LOOKS[side].point, ...more,
    });
    return [
      line("injected", 1, { borderDash: [5, 4], borderWidth: 1.5, pointRadius: 0 }),
      line("found", 2, { borderWidth: 2, pointRadius: edges.length > 80 ? 0 : 2.5 }),
    ];
  });
  draw("timeline-chart", {
    type: "scatter", data: { datasets },
    options: {
      scales: {
        x: scale(`${clocked("seconds")} since the start of the schedule`, { type: "linear", min: 0, max: end / 1e9 }),
        y: scale(`connections per ${clocked("second")}`, {
          type: "linear", min: 0, ticks: { precision: 0, callback: (value) => countText(value) },
        }),
      },
      plugins: {
        tooltip: {
          callbacks: {
            label: (item) => `${item.dataset.label}: ${countText(item.raw.y)} per ${clocked("second")} in the ` +
              `${durationText(item.raw.bin[4])} from ${secondsText(item.raw.bin[0])} on`,
          },
        },
      },
    },
  });
  find("timeline-chart").setAttribute("aria-label",
    `Connections injected and found over time of ${row.row} for ${data.sides.join(", ")}; ` +
    "the table below has the figures");
}

function cell(kind, text, side) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (kind === "th") element.scope = "col";
  if (side !== undefined) element.dataset.columnSide = side;
  return element;
}

function fillTimelineTable(timelines) {
  const table = find("timeline-table");
  const widths = new Set(timelines.flatMap((timeline) => (timeline || []).map((bin) => bin[4])));
  find("timeline-width").textContent = [...widths].map(durationText).join(" or ");
  const head = document.createElement("tr");
  head.append(cell("th", "Start"));
  data.sides.forEach((label, side) => head.append(
    cell("th", `${label} injected`, side), cell("th", `${label} found`, side),
    cell("th", `${label} in flight`, side)));
  table.tHead.replaceChildren(head);
  const starts = [...new Set(timelines.flatMap((timeline) => (timeline || []).map((bin) => bin[0])))];
  starts.sort((a, b) => a - b);
  const bySide = timelines.map((timeline) => new Map((timeline || []).map((bin) => [bin[0], bin])));
  table.tBodies[0].replaceChildren(...starts.map((start) => {
    const line = document.createElement("tr");
    const first = cell("th", secondsText(start));
    first.scope = "row";
    line.append(first);
    bySide.forEach((bins, side) => {
      const bin = bins.get(start);
      for (const column of [1, 2, 3]) line.append(cell("td", bin ? countText(bin[column]) : "\u2013", side));
    });
    return line;
  }));
}

function drawFrontier() {
  if (!find("frontier-chart")) return;
  const state = find("state") ? find("state").value : null;
  const points = data.frontier.filter((point) => state === null || point.state === state);
  const cpuScale = isVirtual ? 1 : 1e3;
  const costs = data.frontier.filter((point) => point.cpu !== null).map((point) => point.cpu / cpuScale);
  const least = costs.length ? Math.min(...costs) : 10;
  const most = costs.length ? Math.max(...costs) : 10;
  const lanes = [[least / 3, "not told from 0"], [least / 9, "not measured"]];
  const height = (point) => point.cpu !== null ? point.cpu / cpuScale : lanes[point.measured ? 0 : 1][0];
  const probes = [...new Set(data.frontier.map((point) => point.probe))];
  const looks = new Map(probes.map((probe) => [probe, PROBE_LOOKS[probe] || OTHER_PROBE]));
  const datasets = [];
  data.sides.forEach((label, side) => {
    const own = points.filter((point) => point.side === side);
    const asPoint = (point) => ({ x: point.p50, y: height(point), point });
    datasets.push({
      label, side, hidden: !sideIsOn[side], data: own.map(asPoint),
      pointStyle: own.map((point) => looks.get(point.probe)[0]),
      rotation: own.map((point) => looks.get(point.probe)[1]),
      // Larger and hollow: a point of another side shows through where two are at one place.
      pointRadius: 6 + 3 * side, pointHoverRadius: 8 + 3 * side, pointBorderWidth: 2, borderColor: colour(`side-${side}`),
      backgroundColor: side ? "transparent" : colour(`side-${side}`),
    });
    datasets.push({
      label: `${label}: false alarms`, side, hidden: !sideIsOn[side], order: 1,
      data: own.filter((point) => point.alarms > 0).map(asPoint), pointStyle: "circle",
      pointRadius: 11 + 3 * side, pointHoverRadius: 11 + 3 * side, pointBorderWidth: 2, borderColor: colour("text"),
      backgroundColor: "transparent",
    });
  });
  const times = data.frontier.map((point) => point.p50);
  const valueTicks = costs.length ? logTicks(least / 1.5, most * 1.5) : [];
  draw("frontier-chart", {
    type: "scatter", data: { datasets },
    options: {
      scales: {
        x: timeScale("median time from the death of the peer to the finding",
          Math.min(...times), Math.max(...times)),
        y: scale(`${isVirtual ? "virtual_ns" : "us"} of CPU per connection and ${clocked("second")}`, {
          type: "logarithmic", min: least / 15, max: most * 1.6,
          afterBuildTicks: (axis) => {
            axis.ticks = [...lanes.map(([value]) => ({ value })).reverse(), ...valueTicks];
          },
          ticks: {
            autoSkip: false,
            callback: (value) => (lanes.find((lane) => lane[0] === value) || [0, isVirtual ? countText(value) : `${Number(value.toPrecision(3))}`])[1],
          },
        }),
      },
      plugins: {
        tooltip: {
          callbacks: {
            label: (item) => {
              const { point } = item.raw;
              return [`${data.sides[point.side]}: ${point.probe}`, point.setting,
                `found after ${durationText(point.p50)} (p99 ${durationText(point.p99)}), ` +
                `${countText(point.alarms)} false alarms`];
            },
          },
        },
      },
    },
  });
  find("frontier-chart").setAttribute("aria-label",
    `Detection time against CPU cost of ${probes.join(", ")}; the table below has the figures`);
  find("frontier-legend").replaceChildren(...probes.map((probe) => {
    const entry = document.createElement("span");
    entry.append(pointPicture(looks.get(probe), "currentColor"), probe);
    return entry;
  }), (() => {
    const entry = document.createElement("span");
    entry.append(ringPicture(), "false alarms");
    return entry;
  })());
}

// ---- legends, drawn as the charts draw ----

function picture(width, height, shapes) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-hidden", "true");
  for (const [name, attributes] of shapes) {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  }
  return svg;
}

const POINT_PATHS = {
  circle: "M8 3a5 5 0 1 0 .01 0Z", rect: "M4 4h8v8h-8Z", rectRounded: "M6 3h4q3 0 3 3v4q0 3 -3 3h-4q-3 0 -3 -3v-4q0 -3 3 -3Z",
  rectRot: "M8 2l6 6l-6 6l-6 -6Z", triangle: "M8 2.5l5.5 10h-11Z",
  star: "M8 2v12M2 8h12M4 4l8 8M12 4l-8 8", crossRot: "M4 4l8 8M12 4l-8 8",
};

function pointPath([shape, rotation], left) {
  return ["path", {
    d: POINT_PATHS[shape], transform: `translate(${left} 0) rotate(${rotation} 8 8)`,
    fill: "currentColor", stroke: "currentColor", "stroke-width": 1.5,
  }];
}

function pointPicture(look) {
  return picture(16, 16, [pointPath(look, 0)]);
}

function ringPicture() {
  const ring = picture(20, 20, [["circle", { cx: 10, cy: 10, r: 8, fill: "none", stroke: "currentColor", "stroke-width": 2 }]]);
  return ring;
}

function fillSwatches() {
  for (const swatch of all("[data-swatch]")) {
    const look = SIDE_LOOKS[Number(swatch.dataset.swatch)];
    swatch.replaceChildren(picture(36, 16, [
      ["line", { x1: 0, x2: 36, y1: 8, y2: 8, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": look.dash.join(" ") }],
      pointPath([look.point, 0], 10),
    ]));
  }
}

// ---- the controls ----

function showRow() {
  const chosen = find("row").value;
  for (const body of all("#numbers-table tbody")) body.hidden = body.dataset.row !== chosen;
  find("row-command").textContent = chosenRow().command;
  for (const name of all(".row-label")) name.textContent = chosenRow().label;
  drawLatency();
  drawTimeline();
  showLinesOfSides();
}

function showLinesOfSides() {
  for (const line of all("[data-line-side]")) line.hidden = !sideIsOn[Number(line.dataset.lineSide)];
  for (const part of all("[data-column-side]")) part.hidden = !sideIsOn[Number(part.dataset.columnSide)];
}

function showSides() {
  for (const box of all("input[data-side]")) box.checked = sideIsOn[Number(box.dataset.side)];
  showLinesOfSides();
  for (const chart of Object.values(charts)) {
    chart.data.datasets.forEach((dataset, place) => {
      dataset.hidden = !sideIsOn[dataset.side === undefined ? place : dataset.side];
    });
    chart.update();
  }
}

function showChanges() {
  if (!find("only-changed")) return;
  const only = find("only-changed").checked;
  let shown = 0;
  for (const body of all("#changes-table tbody")) {
    const lines = [...body.querySelectorAll("tr:not(.group)")];
    for (const line of lines) line.hidden = only && !("changed" in line.dataset);
    body.hidden = lines.every((line) => line.hidden);
    shown += body.hidden ? 0 : 1;
  }
  find("nothing-changed").hidden = shown > 0;
  if (find("changes-table")) find("changes-table").parentElement.hidden = shown === 0;
}

function drawAll() {
  showRow();
  drawFrontier();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");

function showTheme() {
  document.documentElement.dataset.theme = find("dark").checked && !paper.matches ? "dark" : "light";
  drawAll();
}

// Paper is light, and has no switch that opens what is folded.
function preparePaper() {
  for (const details of all("details")) {
    if (paper.matches) {
      details.dataset.wasOpen = details.open;
      details.open = true;
    } else if (details.dataset.wasOpen !== undefined) {
      details.open = details.dataset.wasOpen === "true";
      delete details.dataset.wasOpen;
    }
  }
  showTheme();
}

fillSwatches();
find("dark").checked = prefersDark.matches;
find("dark").addEventListener("change", showTheme);
prefersDark.addEventListener("change", () => {
  find("dark").checked = prefersDark.matches;
  showTheme();
});
paper.addEventListener("change", preparePaper);
find("row").addEventListener("change", showRow);
if (find("state")) find("state").addEventListener("change", drawFrontier);
if (find("only-changed")) find("only-changed").addEventListener("change", showChanges);
for (const box of all("input[data-side]")) {
  box.addEventListener("change", () => {
    sideIsOn[Number(box.dataset.side)] = box.checked;
    showSides();
  });
}
showChanges();
showTheme();
