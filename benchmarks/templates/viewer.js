"use strict";
// One state, one draw(): every control changes the state and draws anew. All panes share zoom and centre.
const find = id => document.getElementById(id);
const { measures, ours, block, bits_block, error_units, ...given } = JSON.parse(find("data").textContent);
let pictures = [];
const ZOOMS = [1, 2, 4, 8], MAPS = ["none", "errors", "bytes"], ORIGINAL = "original";
const CONFIDENT = 1.959964; // standard deviations within which 95 % of a normal distribution lie
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const state = { picture: 0, view: "slider", left: 0, right: 1, split: 50, zoom: null, x: 0, y: 0, map: "none", peek: false };
const votes = [];
let queue = [], trial = null, began = 0, unsaved = false;

const current = () => pictures[state.picture];
const shownOf = picture => [{ codec: ORIGINAL, image: picture.original }, ...picture.codecs];
const signed = share => `${Math.abs(share) < 0.0005 ? "±" : share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)} %`;
const make = (tag, text = "", properties = {}) => Object.assign(document.createElement(tag), { textContent: text }, properties);

// What one pane shows: an image and, over it, the map that is asked for.
const layer = (shown, picture) => {
  const outer = make("div", "", { className: "layer" }), moved = make("div", "", { className: "moved" });
  const image = make("img", "", { src: shown.image, width: picture.shown_width, height: picture.shown_height, alt: "", draggable: false, decoding: "sync" });
  moved.append(image);
  const map = state.view === "blind" ? null : mapOf(shown, picture);
  if (map) moved.append(map);
  outer.append(moved);
  return outer;
};

const peaks = new Map();
const peakOf = (picture, kind) => {
  const key = `${pictures.indexOf(picture)} ${kind}`;
  if (!peaks.has(key)) {
    const values = (kind === "bytes" ? picture.bits ?? [] : picture.codecs.flatMap(one => one.errors)).slice().sort((a, b) => a - b);
    peaks.set(key, Math.max(values[Math.floor(0.995 * (values.length - 1))] ?? 0, 1)); // so that one place does not darken all
  }
  return peaks.get(key);
};

const mapOf = (shown, picture) => {
  const values = state.map === "errors" ? shown.errors : state.map === "bytes" && shown.codec === ours ? picture.bits : null;
  if (!values) return null;
  const side = state.map === "errors" ? block : bits_block;
  const canvas = make("canvas", "", { width: Math.ceil(picture.shown_width / side), height: Math.ceil(picture.shown_height / side) });
  const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height), peak = peakOf(picture, state.map);
  values.forEach((value, place) => {
    const at = Math.min(value / peak, 1) * (VIRIDIS.length - 1), low = Math.min(Math.floor(at), VIRIDIS.length - 2);
    for (let c = 0; c < 3; c++) pixels.data[4 * place + c] = VIRIDIS[low][c] + (at - low) * (VIRIDIS[low + 1][c] - VIRIDIS[low][c]);
    pixels.data[4 * place + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
  canvas.style.width = `${canvas.width * side}px`;
  canvas.style.height = `${canvas.height * side}px`;
  return canvas;
};

const caption = (shown, picture) => {
  if (shown.codec === ORIGINAL) return `${ORIGINAL}, ${picture.width} × ${picture.height}`;
  const figures = measures.filter(([name]) => name in shown.measures).map(([name, label]) => `${label} ${shown.measures[name].toFixed(2)}`);
  return [`${shown.codec}: ${shown.bytes.toLocaleString("en")} bytes (${shown.codec === ours ? `${shown.bpp.toFixed(3)} bpp` : signed(shown.off)}), ${shown.setting}`, ...figures].join("; ");
};

const pane = (layers, text, label) => {
  const figure = make("figure"), view = make("div", "", { className: "window", role: "img" });
  view.setAttribute("aria-label", label ?? text);
  view.append(...layers);
  figure.append(view, make("figcaption", text));
  return figure;
};

const badge = (text, where) => make("span", text, { className: `name ${where}` });

const build = () => {
  const picture = current(), all = shownOf(picture), left = all[state.left], right = all[state.right];
  if (state.view === "slider") {
    const under = layer(right, picture), over = layer(left, picture);
    over.id = "over";
    const both = pane([under, over, badge(left.codec, "first"), badge(right.codec, "second"), make("div", "", { className: "divider" })], "", `${left.codec} left of the slider, ${right.codec} right of it`);
    both.lastChild.append(make("div", `left: ${caption(left, picture)}`), make("div", `right: ${caption(right, picture)}`));
    return [both];
  }
  if (state.view === "flicker") return [pane([layer(right, picture), badge(right.codec, "first")], caption(right, picture))];
  if (state.view === "panes") return all.map(shown => pane([layer(shown, picture)], caption(shown, picture)));
  const names = { A: trial.a, [ORIGINAL]: 0, B: trial.b };
  return Object.entries(names).map(([name, place]) => pane([layer(all[state.peek ? 0 : place], picture)], name));
};

const across = () => {
  const width = find("panes").clientWidth;
  if (state.view === "panes") return Math.max(2, Math.min(Math.floor(width / 420), shownOf(current()).length));
  return state.view === "blind" && width >= 800 ? 3 : 1;
};

const draw = () => {
  const picture = current(), blind = state.view === "blind";
  document.documentElement.style.setProperty("--across", across());
  const places = shownOf(picture).length;
  for (const side of ["left", "right"]) state[side] = Math.min(state[side], places - 1);
  find("panes").replaceChildren(...build());
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  for (const button of document.querySelectorAll("[data-map]")) button.setAttribute("aria-pressed", String(button.dataset.map === state.map));
  find("sides").hidden = blind || state.view === "panes";
  find("slider").hidden = state.view !== "slider";
  find("maps").hidden = find("measures").hidden = blind;
  find("votes").hidden = !blind;
  find("tally").hidden = blind || !votes.length;
  find("which").hidden = blind || pictures.length < 2;
  find("picture").value = state.picture;
  for (const side of ["left", "right"]) {
    find(side).replaceChildren(...shownOf(picture).map((shown, place) => new Option(shown.codec, place)));
    find(side).value = state[side];
  }
  drawLegend(picture, blind);
  drawTable(picture);
  find("part").textContent = picture.part;
  move();
};

const drawLegend = (picture, blind) => {
  const peak = peakOf(picture, state.map), bytes = state.map === "bytes";
  const none = bytes && !picture.bits;
  find("legend").hidden = blind || state.map === "none";
  find("legend-text").textContent = none ? `${picture.codecs[0].setting === "lossless" ? `${ours}'s file is lossless: w` : "W"}here its bits went is not known.` : bytes ? `Bits of ${ours} for each ${bits_block} × ${bits_block} pixels, from its coder's tables: 0` : `Error (root mean square) of each ${block} × ${block} pixels, in levels of 255: 0`;
  find("legend-end").textContent = none ? "" : bytes ? `${peak} or more` : `${(peak / error_units).toFixed(1)} or more`;
};

const drawTable = picture => {
  const best = name => Math.max(...picture.codecs.map(one => one.measures[name] ?? -Infinity));
  const labels = measures.map(([, label]) => label), said = picture.codecs.some(one => one.note) ? ["size"] : [];
  find("heads").replaceChildren(...["codec", "setting", "bytes", "bpp", `against ${ours}`, ...labels, ...said].map(text => make("th", text, { scope: "col", className: text === said[0] ? "note" : "" })));
  find("rows").replaceChildren(...picture.codecs.map(one => {
    const row = make("tr"), of = one.codec === ours ? "" : signed(one.off);
    row.append(...[one.codec, one.setting, one.bytes.toLocaleString("en"), one.bpp.toFixed(3), of].map(text => make("td", text)));
    for (const [name] of measures) {
      const value = one.measures[name];
      row.append(make("td", value === undefined ? "none" : value.toFixed(2), { className: value === best(name) ? "best" : "" }));
    }
    if (said.length) row.append(make("td", one.note, { className: "note" }));
    return row;
  }));
  find("notes").replaceChildren(...picture.notes.map(note => make("p", note, { className: "faint" })));
};

// Zoom and position, without building anything anew.
const shares = { slider: 0.78, flicker: 0.78, panes: 0.6, blind: 0.6 }; // of the window's height that a pane may take
const tallest = () => (state.view === "blind" && across() === 1 ? 0.3 : shares[state.view]) * innerHeight; // three below each other fit
const fitting = () => Math.min(find("panes").querySelector("figure").clientWidth / current().shown_width, tallest() / current().shown_height);
const isCut = zoom => zoom > fitting() + 1e-6; // whether a part of the picture is out of sight
const zooms = () => fitting() < 1 ? [fitting(), ...ZOOMS] : ZOOMS;
const defaultZoom = () => fitting() < 1 ? fitting() : Math.max(...ZOOMS.filter(zoom => zoom <= fitting()));

const move = () => {
  const picture = current(), least = zooms()[0];
  const zoom = state.zoom === null ? defaultZoom() : Math.max(Math.min(state.zoom, 8), least);
  const width = Math.min(find("panes").querySelector("figure").clientWidth, Math.max(zoom * picture.shown_width, 300));
  const height = Math.min(tallest(), Math.max(zoom * picture.shown_height, 100));
  const held = (value, seen, whole) => seen >= whole ? whole / 2 : Math.min(Math.max(value, seen / 2), whole - seen / 2);
  state.x = held(state.x, width / zoom, picture.shown_width);
  state.y = held(state.y, height / zoom, picture.shown_height);
  for (const view of document.querySelectorAll(".window")) {
    view.style.width = `${width}px`;
    view.style.height = `${height}px`;
    view.classList.toggle("zoomed", isCut(zoom));
    for (const moved of view.querySelectorAll(".moved")) {
      moved.classList.toggle("magnified", zoom > 1);
      moved.style.transform = `translate(${width / 2 - state.x * zoom}px, ${height / 2 - state.y * zoom}px) scale(${zoom})`;
    }
  }
  const over = find("over"), divider = document.querySelector(".divider");
  if (over) over.style.clipPath = `inset(0 ${100 - state.split}% 0 0)`;
  if (divider) divider.style.left = `${state.split}%`;
  find("slider").value = state.split;
  find("slider").style.maxWidth = `${width}px`;
  find("zoom").textContent = `${zoom < 1 ? zoom.toFixed(2) : Math.round(10 * zoom) / 10}x`;
  return zoom;
};

const zoomBy = steps => {
  const zoom = move(), all = zooms(), near = 1e-6;
  const next = steps > 0 ? all.find(each => each > zoom + near) : all.filter(each => each < zoom - near).pop();
  if (next) { state.zoom = next; move(); }
};
// The first picture, or, with `keep`, the same place and zoom as before: of the same part coded otherwise.
const setPictures = (list, keep = false) => {
  pictures = list;
  peaks.clear();
  queue = [];
  find("picture").replaceChildren(...pictures.map((picture, place) => new Option(picture.name, place)));
  if (state.view === "blind") end();
  if (!keep) {
    show(0);
    Object.assign(state, pictures[0].codecs.length > 1 ? { left: 1, right: 2 } : { left: 0, right: 1 });
  }
  draw();
};
const show = picture => { Object.assign(state, { picture, zoom: null, x: pictures[picture].shown_width / 2, y: pictures[picture].shown_height / 2 }); };
const swap = () => { [state.left, state.right] = [state.right, state.left]; draw(); };
const setView = view => { if (view === "blind") begin(); else { state.view = view; state.peek = false; draw(); } };
const setMap = map => { state.map = map; draw(); };
