"use strict";
// Which clips are shown, and in which order. Knows no document: a test runs it alone.

const OUTCOMES = {
  kept: "in the dataset",
  rejected: "rejected",
  failed: "failed",
  unfinished: "not through yet",
};

const ORDERS = {
  mixed: "a fair mixture",
  source: "source and time",
  longest: "longest first",
  shortest: "shortest first",
};

/** Clips by name of column; `number` is their place, by which their pictures are found. */
function unpackClips({ columns, rows }) {
  return rows.map((row, number) => {
    const clip = { number };
    columns.forEach((name, place) => { clip[name] = row[place]; });
    clip.length = clip.end_s === null ? null : clip.end_s - (clip.start_s ?? 0);
    clip.words = `${clip.caption}\n${clip.source}\n${clip.id}`.toLowerCase();
    clip.why = clip.reason && `${clip.asset} ${clip.reason}`;
    return clip;
  });
}

/** True for a value inside a range whose ends may be null; what was not measured is in no range that has an end. */
function isWithin(value, [low, high]) {
  if (low === null && high === null) return true;
  return value !== null && (low === null || value >= low) && (high === null || value <= high);
}

function isWanted(clip, wanted) {
  return (!wanted.status || clip.status === wanted.status)
    && (!wanted.reason || clip.why === wanted.reason)
    && isWithin(clip.length, [wanted.shortest, wanted.longest])
    && wanted.words.every((word) => clip.words.includes(word))
    && wanted.ranges.every(({ place, range }) => isWithin(clip.scores[place], range));
}

/** The clips that meet every filter, in the order asked for: one of ORDERS, or "+3" and "-3" by the fourth score. */
function selectClips(clips, wanted) {
  const found = clips.filter((clip) => isWanted(clip, wanted));
  const place = Number(wanted.order.slice(1));
  const keys = {
    mixed: (a, b) => b.is_clip - a.is_clip, // as Python mixed them, videos without clips last
    source: (a, b) => compare(a.source, b.source) || compare(a.start_s, b.start_s),
    longest: (a, b) => compare(b.length, a.length),
    shortest: (a, b) => compareKnown(a.length, b.length),
    "+": (a, b) => compareKnown(a.scores[place], b.scores[place]),
    "-": (a, b) => compare(b.scores[place], a.scores[place]),
  };
  const order = keys[wanted.order] ?? keys[wanted.order[0]];
  return order ? found.sort(order) : found;
}

/** Rising; null comes first, so that it comes last where the arguments are swapped to fall. */
function compare(a, b) {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? -1 : 1;
  return a < b ? -1 : 1;
}

/** Rising; null comes last. */
function compareKnown(a, b) {
  return a === null || b === null ? compare(b, a) : compare(a, b);
}

/** True where a score is beyond a threshold, the threshold itself being admitted. */
function isMissed(score, value) {
  const beyond = { min: (limit) => value < limit, max: (limit) => value > limit };
  return score.limits.some(({ bound, values }) => values.length === 1 && beyond[bound]?.(values[0]));
}

/** Filters from the part of the address after "#", so that a view can be kept as a bookmark. */
function readFilters(address, scores) {
  const values = new URLSearchParams(address);
  const number = (name) => {
    const text = values.get(name) ?? "";
    return text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text);
  };
  return {
    text: values.get("text") ?? "",
    words: (values.get("text") ?? "").toLowerCase().split(/\s+/).filter(Boolean),
    status: values.get("status") ?? "",
    reason: values.get("reason") ?? "",
    order: values.get("order") ?? "mixed",
    shortest: number("shortest"),
    longest: number("longest"),
    ranges: scores
      .map((name, place) => ({ place, range: [number(`${place}-from`), number(`${place}-to`)] }))
      .filter(({ range }) => range.some((end) => end !== null)),
  };
}

/** Seconds as 1:02.5. */
function clock(seconds) {
  if (seconds === null) return "?";
  const tenths = Math.round(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

/** Hours in the unit that reads best. */
function duration(hours) {
  if (hours >= 1) return `${hours.toLocaleString("en", { maximumFractionDigits: hours < 10 ? 2 : 1 })} h`;
  return hours * 60 >= 1 ? `${(hours * 60).toFixed(1)} min` : `${(hours * 3600).toFixed(1)} s`;
}

function figure(value) {
  if (value === null) return "not measured";
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

/** The name after the last slash. */
function fileName(source) {
  return source.slice(source.lastIndexOf("/") + 1);
}
