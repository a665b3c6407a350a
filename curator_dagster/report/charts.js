"use strict";
// Charts as SVG: bars of the funnel, histograms of the scores.

/** An element with attributes and children; children that are text can never become markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A bar of kept, rejected and failed hours; `whole` is the length of the track. */
function hoursBar(hours, whole, label) {
  const bar = shape("svg", { class: "hours", viewBox: "0 0 1000 20", preserveAspectRatio: "none", role: "img", "aria-label": label });
  bar.append(shape("rect", { class: "track", width: 1000, height: 20 }));
  let x = 0;
  for (const status of ["kept", "rejected", "failed"]) {
    const width = whole > 0 ? (1000 * hours[status]) / whole : 0;
    bar.append(shape("rect", { class: status, x, width, height: 20 }));
    x += width;
  }
  return bar;
}

const CHART = { width: 280, height: 110, base: 92 };

/** Bars of kept clips with those not kept on top, and a dashed line at each threshold that is in reach. */
function histogram(score) {
  const { width, height, base } = CHART;
  const { edges, kept, lost } = score;
  const tallest = Math.max(...kept.map((count, bin) => count + lost[bin]), 1);
  const tall = (count) => (count ? Math.max(1.5, ((base - 12) * count) / tallest) : 0);
  const step = width / kept.length;
  const chart = shape("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": inWords(score) });
  kept.forEach((count, bin) => {
    const said = `${figure(edges[bin])} to ${figure(edges[bin + 1])}: ${count} kept, ${lost[bin]} not kept`;
    const bars = [[count, "kept", base - tall(count)], [lost[bin], "lost", base - tall(count) - tall(lost[bin])]];
    chart.append(shape("g", {}, shape("title", {}, said),
      shape("rect", { class: "reach", x: bin * step, width: step, height: base }),
      ...bars.map(([clips, kind, y]) => shape("rect", { class: kind, x: bin * step + 0.5, y, width: step - 1, height: tall(clips) }))));
  });
  chart.append(shape("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }));
  for (const value of score.limits.flatMap((limit) => limit.values)) {
    const x = placeOf(value, score) * width;
    if (x >= 0 && x <= width) chart.append(shape("line", { class: "threshold", x1: x, x2: x, y1: 2, y2: base }));
  }
  chart.append(shape("text", { x: 0, y: height - 4 }, figure(edges[0])));
  chart.append(shape("text", { x: width, y: height - 4, "text-anchor": "end" }, figure(edges.at(-1))));
  return chart;
}

/** Where a value lies on the axis, 0 to 1; outside of it beyond the ends. */
function placeOf(value, { edges, is_log: isLog }) {
  const scale = isLog ? Math.log : (x) => x;
  return (scale(value) - scale(edges[0])) / (scale(edges.at(-1)) - scale(edges[0]));
}

/** Thresholds in words. */
function limitsOf(score) {
  const sides = { min: "at least", max: "at most" };
  return score.limits.map((limit) => `${sides[limit.bound] ?? limit.name} ${limit.values.map(figure).join(" or ")}`).join(", ");
}

function inWords(score) {
  const sum = (counts) => counts.reduce((a, b) => a + b, 0);
  const limits = limitsOf(score);
  return `${score.name}: ${figure(score.edges[0])} to ${figure(score.edges.at(-1))}, ${sum(score.kept)} clips kept, `
    + `${sum(score.lost)} not kept${limits && `; must be ${limits}`}`;
}
