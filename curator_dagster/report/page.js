"use strict";
// Draws the page from its data, and again whenever a filter changes. All filters stand in the address after "#".

const data = JSON.parse(document.getElementById("data").textContent);
const clips = unpackClips(data.gallery);
const clipsById = new Map(clips.map((clip) => [clip.id, clip]));
const scoreNames = data.scores.map((score) => score.name);
const form = document.getElementById("filters");
const gallery = document.getElementById("gallery");
const detail = document.getElementById("detail");
const play = document.getElementById("play");
const PAGE_CLIPS = 48;
let shown = [];
let page = 0;

function byId(id) {
  return document.getElementById(id);
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

// ---- figures of the whole root

function drawHead() {
  byId("about").append(element("bdi", {}, data.root), `, ${data.made_at.replace("T", " ").replace("+00:00", " UTC")}`);
  const steps = Object.fromEntries(data.funnel.map((step) => [step.asset, step]));
  const { videos, clips: cut, dataset } = steps;
  const whole = wholeHours();
  const share = whole > 0 ? ` (${((100 * dataset.hours.kept) / whole).toFixed(0)} % of the source)` : "";
  const all = (rows) => rows.kept + rows.rejected + rows.failed;
  const tiles = [
    [all(videos.rows), "source videos", duration(whole)],
    [cut.rows.kept, "clips found", duration(cut.hours.kept)],
    [dataset.rows.kept, "clips in the dataset", duration(dataset.hours.kept) + share],
    [data.funnel.reduce((sum, step) => sum + step.rows.rejected, 0), "rows rejected", "by a rule, with a reason"],
    [data.funnel.reduce((sum, step) => sum + step.rows.failed, 0), "rows failed", "by an error, with its message"],
  ];
  byId("tiles").append(...tiles.map(([number, name, more]) => element("li", {},
    element("strong", {}, number.toLocaleString("en")), element("span", {}, name), element("small", {}, more))));
}

function wholeHours() {
  const { kept, rejected, failed } = data.funnel[0].hours;
  return kept + rejected + failed;
}

function drawFunnel() {
  const whole = Math.max(wholeHours(), ...data.funnel.map((step) => step.hours.kept));
  byId("funnel").append(...data.funnel.map((step) => {
    if (!step.partitions) {
      return element("li", { class: "not-made" }, stepName(step), element("p", { class: "figures" }, "not made yet"));
    }
    const { rows, hours } = step;
    const label = `${step.asset}: ${duration(hours.kept)} kept, ${duration(hours.rejected)} rejected, ${duration(hours.failed)} failed`;
    const figures = element("p", { class: "figures" }, ...["kept", "rejected", "failed"].map((status) =>
      element("span", { class: rows[status] ? status : "none" }, `${rows[status].toLocaleString("en")} ${status}`)));
    return element("li", {}, stepName(step), hoursBar(hours, whole, label),
      element("span", { class: "kept-hours" }, duration(hours.kept)), figures,
      element("p", { class: "why" }, ...step.why.map((why) => reasonChip(step.asset, why))));
  }));
}

function stepName({ asset, grain }) {
  return element("h3", {}, asset.replaceAll("_", " "), element("small", {}, `a row is ${grain}`));
}

function reasonChip(asset, [status, reason, rows]) {
  const why = `${asset} ${reason}`;
  const inGallery = clips.some((clip) => clip.why === why);
  const text = [element("bdi", {}, reason || status), ` ${rows.toLocaleString("en")}`];
  if (!inGallery) return element("span", { class: `chip ${status}` }, ...text);
  const choose = () => {
    form.reset();
    form.elements.reason.value = why;
    filtersChanged();
    byId("gallery-title").scrollIntoView();
  };
  return element("button", { class: `chip ${status}`, type: "button", onclick: choose }, ...text);
}

function drawScores() {
  byId("scores-section").hidden = !data.scores.length;
  byId("scores").append(...data.scores.map((score, place) => {
    const end = (side) => element("input", {
      type: "number", step: "any", form: "filters", name: `${place}-${side}`, placeholder: side, "aria-label": `${score.name} ${side}`,
    });
    const limits = limitsOf(score);
    return element("figure", {},
      element("figcaption", {}, element("bdi", {}, score.name), element("small", {}, score.is_log ? "logarithmic" : "")),
      histogram(score),
      element("p", { class: "limits" }, limits ? `must be ${limits}` : "no threshold"),
      element("div", { class: "range" }, end("from"), end("to")));
  }));
}

function drawMadeWith() {
  byId("made-with-section").hidden = !data.made_with.length;
  const pairs = (entries) => entries.map(([name, value]) => `${name} ${value}`).join(", ");
  byId("made-with").append(...data.made_with.map((way) => element("details", {},
    element("summary", {}, element("b", {}, way.asset.replaceAll("_", " ")),
      ` by ${way.phase}, ${count(way.partitions, "partition")}; changed from the default: `
      + String(way.params.filter(([, , isChanged]) => isChanged).length)),
    element("table", {}, element("tbody", {}, ...way.params.map(([name, value, isChanged]) =>
      element("tr", { class: isChanged ? "changed" : null }, element("th", { scope: "row" }, name),
        element("td", {}, element("bdi", {}, value), isChanged ? element("em", {}, " not the default") : null))))),
    element("p", {}, `Code version ${way.code_version}. `, pairs(way.identity)),
    element("p", { class: "hint" }, pairs(way.packages)))));
}

// ---- pictures

/** The pictures of a clip, stills in the manner of `layout`: "flip" or "strip"; a word on why there is none otherwise. */
function pictureBox(clip, layout) {
  const box = element("span", { class: "picture" });
  const name = clip.caption || `${fileName(clip.source)} at ${clock(clip.start_s)}`;
  const blocks = Array.from({ length: clip.pictures ?? 0 }, (_, at) => byId(`picture-${clip.number}-${at}`));
  if (blocks.length && blocks.every(Boolean)) {
    if (blocks.length > 1) box.classList.add(layout, play.checked ? "plays" : "stands");
    box.append(...blocks.map((block, at) => {
      const picture = element("img", { src: `data:${block.type};base64,${block.textContent}`, alt: at ? "" : name });
      if (block.type === "image/webp" && !play.checked) picture.addEventListener("load", () => stand(picture), { once: true });
      return picture;
    }));
    if (blocks.length > 1) box.append(element("span", { class: "tag" }, `${blocks.length} stills`));
  } else {
    box.classList.add("empty");
    box.append(wordOnPictures(clip, blocks.length));
  }
  return box;
}

function wordOnPictures(clip, number) {
  if (!clip.is_clip) return "a video without clips";
  if (number) return "loading";
  return clip.pictures === null ? "no room for its preview" : "no frames stored";
}

/** An animation becomes its first picture: a drawing of an animated image holds that. */
function stand(picture) {
  const still = element("canvas", { width: picture.naturalWidth, height: picture.naturalHeight, role: "img", "aria-label": picture.alt });
  still.getContext("2d").drawImage(picture, 0, 0);
  picture.replaceWith(still);
}

// ---- gallery

function badge(clip) {
  const words = clip.status === "unfinished" ? `made as far as ${clip.asset.replaceAll("_", " ")}` : OUTCOMES[clip.status];
  return element("span", { class: `badge ${clip.status}` }, words, clip.reason ? ": " : "", element("bdi", {}, clip.reason));
}

function where(clip) {
  const span = clip.is_clip ? ` ${clock(clip.start_s)} – ${clock(clip.end_s)}` : "";
  return [element("bdi", {}, fileName(clip.source)), span];
}

function card(clip, place) {
  return element("li", {}, element("button", { type: "button", class: "card", "aria-haspopup": "dialog", onclick: () => openDetail(place) },
    pictureBox(clip, "flip"),
    badge(clip),
    element("span", { class: "caption", dir: "auto" }, clip.error || clip.caption || "no caption"),
    element("span", { class: "where" }, ...where(clip)),
    element("span", { class: "length" }, clip.length === null ? "" : `${clip.length.toFixed(1)} s`)));
}

function drawGallery() {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_CLIPS));
  page = Math.min(Math.max(page, 0), pages - 1);
  const first = page * PAGE_CLIPS;
  gallery.replaceChildren(...shown.slice(first, first + PAGE_CLIPS).map((clip, at) => card(clip, first + at)));
  const of = shown.length === clips.length ? "" : ` of ${clips.length.toLocaleString("en")}`;
  byId("count").textContent = clips.length ? `${shown.length.toLocaleString("en")}${of} shown` : "";
  for (const pager of document.querySelectorAll(".pager")) {
    pager.hidden = pages < 2;
    pager.replaceChildren(turn("Previous", page - 1, pages), element("span", {}, `page ${page + 1} of ${pages}`), turn("Next", page + 1, pages));
  }
}

function turn(name, to, pages) {
  const go = () => {
    page = to;
    drawGallery();
    byId("gallery-title").scrollIntoView();
    gallery.querySelector("button").focus({ preventScroll: true });
  };
  return element("button", { type: "button", onclick: go, disabled: to < 0 || to >= pages }, name);
}

function filtersChanged() {
  const values = [...new FormData(form)].filter(([name, value]) => value !== "" && !(name === "order" && value === "mixed"));
  const address = new URLSearchParams(values).toString();
  history.replaceState(null, "", address ? `#${address}` : "#");
  applyAddress();
}

function applyAddress() {
  shown = selectClips(clips, readFilters(location.hash.slice(1), scoreNames));
  page = 0;
  drawGallery();
}

/** What the address says, put into the form. */
function fillForm() {
  const values = new URLSearchParams(location.hash.slice(1));
  const fields = [...form.elements].filter((field) => field.name);
  for (const field of fields) field.value = values.get(field.name) ?? (field.name === "order" ? "mixed" : "");
}

function drawFilters() {
  form.hidden = !clips.length;
  const option = (value, text) => element("option", { value }, text);
  const counts = new Map();
  for (const { status, why } of clips) {
    counts.set(status, (counts.get(status) ?? 0) + 1);
    if (why) counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  const counted = (value, text) => option(value, `${text} (${counts.get(value).toLocaleString("en")})`);
  form.elements.status.append(option("", "all"), ...Object.keys(OUTCOMES).filter((status) => counts.has(status)).map((status) => counted(status, OUTCOMES[status])));
  form.elements.reason.append(option("", "all"), ...data.funnel.flatMap(({ asset }) => {
    const reasons = [...counts.keys()].filter((why) => why.startsWith(`${asset} `)).sort();
    const group = element("optgroup", { label: asset.replaceAll("_", " ") }, ...reasons.map((why) => counted(why, why.slice(asset.length + 1))));
    return reasons.length ? [group] : [];
  }));
  form.elements.order.append(...Object.entries(ORDERS).map(([value, text]) => option(value, text)),
    ...scoreNames.flatMap((name, place) => [option(`-${place}`, `${name}, highest first`), option(`+${place}`, `${name}, lowest first`)]));
  const withoutRoom = clips.filter((clip) => clip.is_clip && clip.pictures === null).length;
  const notes = [];
  if (!data.entries) notes.push("Nothing is made under this root yet.");
  if (clips.length < data.entries) notes.push(`This page has room for ${count(clips.length, "clip")} of ${data.entries.toLocaleString("en")}: a fair sample over all partitions and fates. The figures above count all.`);
  if (withoutRoom) notes.push(`${count(withoutRoom, "clip")} in it ${withoutRoom === 1 ? "has" : "have"} no preview, to keep the page small; --max-mb makes it larger.`);
  byId("left-out").hidden = !notes.length;
  byId("left-out").textContent = notes.join(" ");
}

// ---- one clip

function openDetail(place) {
  openClip(shown[place], place);
}

/** The clip, which may be one that the filters do not show; its place is -1 then. */
function openClip(clip, place = shown.indexOf(clip)) {
  const next = (by) => (place < 0 ? undefined : shown[place + by]);
  const step = (by, name) => element("button", { type: "button", disabled: !next(by), onclick: () => openDetail(place + by) }, name);
  const kept = keptInstead(clip);
  const focused = detail.contains(document.activeElement) ? document.activeElement.textContent : "Close";
  detail.dataset.place = place;
  detail.replaceChildren(
    element("div", { class: "bar" }, element("h2", { id: "detail-title" }, ...where(clip)),
      element("div", { class: "pager" }, step(-1, "Previous"), step(1, "Next"), element("button", { type: "button", onclick: () => detail.close() }, "Close"))),
    element("div", { class: "columns" }, pictureBox(clip, kept ? "flip" : "strip"), kept), badge(clip),
    clip.error ? element("p", { class: "error", dir: "auto" }, clip.error) : "",
    clip.caption ? element("p", { class: "caption", dir: "auto" }, clip.caption) : "",
    moreLikeThis(clip),
    element("div", { class: "columns" }, facts(clip), scoreTable(clip)));
  if (!detail.open) detail.showModal();
  detail.scrollTop = 0;
  const buttons = [...detail.querySelectorAll(".bar button:enabled")];
  (buttons.find((button) => button.textContent === focused) ?? buttons.at(-1)).focus();
}

/** The clip that a duplicate was found to be like, beside it. */
function keptInstead(clip) {
  const kept = clip.status === "rejected" && clip.group_id !== clip.id && clipsById.get(clip.group_id);
  if (!kept) return "";
  const likeness = clip.similarity === null ? "" : `, similarity ${clip.similarity.toFixed(3)}`;
  return element("section", { "aria-label": "Kept instead" }, pictureBox(kept, "flip"),
    element("p", { class: "where" }, element("b", {}, `Kept instead${likeness}: `), ...where(kept)));
}

/** The clips of the page that look most like one, each of which opens. */
function moreLikeThis(clip) {
  if (!clip.similar?.length) return "";
  const link = ([number, similarity]) => {
    const other = clips[number];
    return element("li", {}, element("button", { type: "button", class: "similar", onclick: () => openClip(other) },
      pictureBox(other, "flip"), element("span", { class: "where" }, element("b", {}, similarity.toFixed(2)), " ", ...where(other))));
  };
  return element("section", { "aria-labelledby": "similar-title" }, element("h3", { id: "similar-title" }, "More like this"),
    element("ul", { class: "similars" }, ...clip.similar.map(link)));
}

function facts(clip) {
  const size = clip.width && clip.height ? `${clip.width} × ${clip.height}` : null;
  const entries = [["Source", clip.source], ["Length", clip.length === null ? null : `${clip.length.toFixed(2)} s`], ["Picture", size],
    ["Decided by", clip.asset], ["File", clip.path], [clip.is_clip ? "Clip" : "Video", clip.id], ["Partition", clip.partition]];
  return element("dl", {}, ...entries.filter(([, value]) => value).flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, element("bdi", {}, value))]));
}

function scoreTable(clip) {
  const measured = data.scores.map((score, place) => [score, clip.scores[place]]).filter(([, value]) => value !== null);
  if (!measured.length) return "";
  return element("table", {}, element("thead", {}, element("tr", {}, ...["Score", "Value", "Must be"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...measured.map(([score, value]) => 
      element("tr", { class: isMissed(score, value) ? "missed" : null }, element("th", { scope: "row" }, element("bdi", {}, score.name)),
        element("td", {}, figure(value)), element("td", {}, limitsOf(score), isMissed(score, value) ? " – missed" : "")))));
}

detail.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = Number(detail.dataset.place);
  if (by && at >= 0 && shown[at + by]) openDetail(at + by);
});
detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("input", ({ target }) => { // not on the form: fields under the scores stand outside of it
  if (target.form === form) (target === play ? drawGallery : filtersChanged)();
});
form.addEventListener("reset", () => setTimeout(filtersChanged));
addEventListener("hashchange", () => { fillForm(); applyAddress(); });
addEventListener("DOMContentLoaded", drawGallery); // the pictures stand after this script

play.defaultChecked = !matchMedia("(prefers-reduced-motion: reduce)").matches;
drawHead();
drawFunnel();
drawScores();
drawFilters();
drawMadeWith();
fillForm();
applyAddress();
