"use strict";
// One state, one draw(): every control changes the state and draws anew. All panes share zoom and centre.
const find = id => document.getElementById(id);
const { pictures, measures, ours, block, bits_block, error_units } = JSON.parse(find("data").textContent);
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
  const image = make("img", "", { src: shown.image, width: picture.shown_width, height: picture.shown_height, alt: "", draggable: false });
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
  const part = picture.shown_width * picture.shown_height < picture.width * picture.height;
  find("part").textContent = part ? `Shown are ${picture.shown_width} × ${picture.shown_height} pixels at ${picture.left}, ${picture.top} of ${picture.width} × ${picture.height}, where the codecs' errors are most unlike each other. All of it was coded and measured.` : "";
  move();
};

const drawLegend = (picture, blind) => {
  const peak = peakOf(picture, state.map), bytes = state.map === "bytes";
  const none = bytes && !picture.bits;
  find("legend").hidden = blind || state.map === "none";
  find("legend-text").textContent = none ? `${ours}'s file is lossless: where its bits went is not known.` : bytes ? `Bits of ${ours} for each ${bits_block} × ${bits_block} pixels, from its coder's tables: 0` : `Error (root mean square) of each ${block} × ${block} pixels, in levels of 255: 0`;
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
const fitting = () => Math.min(document.querySelector("figure").clientWidth / current().shown_width, tallest() / current().shown_height);
const isCut = zoom => zoom > fitting() + 1e-6; // whether a part of the picture is out of sight
const zooms = () => fitting() < 1 ? [fitting(), ...ZOOMS] : ZOOMS;
const defaultZoom = () => fitting() < 1 ? fitting() : Math.max(...ZOOMS.filter(zoom => zoom <= fitting()));

const move = () => {
  const picture = current(), least = zooms()[0];
  const zoom = state.zoom === null ? defaultZoom() : Math.max(Math.min(state.zoom, 8), least);
  const width = Math.min(document.querySelector("figure").clientWidth, Math.max(zoom * picture.shown_width, 300));
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
const show = picture => { Object.assign(state, { picture, zoom: null, x: pictures[picture].shown_width / 2, y: pictures[picture].shown_height / 2 }); };
const swap = () => { [state.left, state.right] = [state.right, state.left]; draw(); };
const setView = view => { if (view === "blind") begin(); else { state.view = view; state.peek = false; draw(); } };
const setMap = map => { state.map = map; draw(); };

// The blind comparison: ours against each of the others on each picture, in random order on random sides.
const shuffled = list => {
  const mixed = [...list];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
};
const next = () => {
  if (!queue.length) queue = shuffled(pictures.flatMap((picture, place) => picture.codecs.slice(1).map((_, other) => [place, other + 2])));
  const [picture, other] = queue.pop(), first = Math.random() < 0.5;
  trial = { a: first ? 1 : other, b: first ? other : 1 };
  if (picture !== state.picture) show(picture);
  state.peek = false;
  began = performance.now();
  find("count").textContent = votes.length === 1 ? "1 vote." : `${votes.length} votes.`;
};
const begin = () => {
  if (state.view === "blind" || !pictures.some(picture => picture.codecs.length > 1)) return;
  state.view = "blind";
  next();
  draw();
};
const vote = choice => {
  const picture = current(), name = place => shownOf(picture)[place].codec;
  const [a, b] = [name(trial.a), name(trial.b)];
  votes.push({ picture: picture.name, a, b, nearer: choice === "a" ? a : choice === "b" ? b : null, seconds: Math.round((performance.now() - began) / 100) / 10 });
  unsaved = true;
  next();
  draw();
};
const undo = () => { if (votes.length) { votes.pop(); find("count").textContent = `${votes.length} votes: the last was taken back.`; } };
const end = () => { state.view = "slider"; state.peek = false; drawTally(); draw(); };

const wilson = (count, of) => {
  if (!of) return null;
  const share = count / of, z2 = CONFIDENT ** 2, centre = share + z2 / (2 * of);
  const half = CONFIDENT * Math.sqrt(share * (1 - share) / of + z2 / (4 * of * of));
  return [centre - half, centre + half].map(end => Math.min(Math.max(end / (1 + z2 / of), 0), 1));
};
const tally = () => {
  const rivals = [...new Set(votes.map(one => one.a === ours ? one.b : one.a))].sort();
  const counted = (name, own) => {
    const wins = own.filter(one => one.nearer === ours).length, ties = own.filter(one => one.nearer === null).length;
    const decided = own.length - ties;
    return { against: name, ours: wins, other: decided - wins, no_difference: ties, share: decided ? wins / decided : null, interval: wilson(wins, decided) };
  };
  const each = rivals.map(name => counted(name, votes.filter(one => one.a === name || one.b === name)));
  return rivals.length > 1 ? [...each, counted("all", votes)] : each;
};
const drawTally = () => {
  const percent = share => `${(100 * share).toFixed(0)} %`;
  find("tally-rows").replaceChildren(...tally().map(one => {
    const row = make("tr");
    const range = one.interval ? one.interval.map(percent).join(" to ") : "none";
    row.append(...[one.against, one.ours, one.other, one.no_difference, one.share === null ? "none" : percent(one.share), range].map(text => make("td", String(text))));
    return row;
  }));
};
const save = () => {
  const files = pictures.map(({ name, width, height, codecs }) => ({ name, width, height, codecs: codecs.map(({ codec, setting, bytes }) => ({ codec, setting, bytes })) }));
  const record = { schema: "aecodec-votes/1", saved: new Date().toISOString(), confidence: 0.95, pictures: files, tally: tally(), votes };
  const link = make("a", "", { href: URL.createObjectURL(new Blob([JSON.stringify(record, null, 1)], { type: "application/json" })), download: "votes.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
};

// Pointers: one drags the picture or the divider, two zoom.
const pointers = new Map();
let dragged = null, pinched = null;
const splitAt = event => {
  const box = document.querySelector(".window").getBoundingClientRect();
  state.split = Math.min(Math.max(100 * (event.clientX - box.left) / box.width, 0), 100);
};
const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
find("panes").addEventListener("pointerdown", event => {
  if (event.button || !event.target.closest(".window")) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const whole = state.view === "slider" && !isCut(move()); // then there is nothing else to move
  dragged = whole || event.target.classList.contains("divider") ? "divider" : "picture";
  pinched = pointers.size === 2 ? { distance: spread(), zoom: move() } : null;
});
addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pinched && pointers.size === 2) state.zoom = pinched.zoom * spread() / Math.max(pinched.distance, 1);
  else if (dragged === "divider") splitAt(event);
  else { const zoom = move(); state.x -= (event.clientX - before.x) / zoom; state.y -= (event.clientY - before.y) / zoom; }
  move();
});
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, event => { pointers.delete(event.pointerId); pinched = null; });
find("panes").addEventListener("dblclick", () => { state.zoom = move() < 4 ? 4 : null; move(); });
find("panes").addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1 : -1); } }, { passive: false });

const press = event => {
  const key = event.key.toLowerCase(), blind = state.view === "blind", step = 40 / move();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (["SELECT", "INPUT"].includes(event.target.tagName) && (key.startsWith("arrow") || key === " ")) return;
  const arrows = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
  const zoomed = isCut(move());
  const actions = { "+": () => zoomBy(1), "=": () => zoomBy(1), "-": () => zoomBy(-1) };
  if (blind) Object.assign(actions, { a: () => vote("a"), b: () => vote("b"), n: () => vote("none"), u: undo, escape: end, " ": () => { if (!state.peek) { state.peek = true; draw(); } } });
  else Object.assign(actions, {
    s: () => setView("slider"), g: () => setView("panes"), f: () => setView("flicker"), v: begin, " ": swap,
    m: () => setMap(MAPS[(MAPS.indexOf(state.map) + 1) % MAPS.length]), p: () => { show((state.picture + 1) % pictures.length); draw(); },
    "[": () => { state.split = Math.max(state.split - 2, 0); move(); }, "]": () => { state.split = Math.min(state.split + 2, 100); move(); },
  });
  const digit = /^Digit(\d)$/.exec(event.code) ?? /^Numpad(\d)$/.exec(event.code);
  if (digit && !blind && Number(digit[1]) < shownOf(current()).length) { state[event.shiftKey ? "left" : "right"] = Number(digit[1]); draw(); }
  else if (key in arrows && zoomed) { state.x += step * arrows[key][0]; state.y += step * arrows[key][1]; move(); }
  else if (key === " " && event.target.tagName === "BUTTON") return;
  else if (actions[key] && !(event.repeat && blind)) actions[key]();
  else return;
  event.preventDefault();
};
addEventListener("keydown", press);

// What was chosen with a pointer gives the focus back, or Space would press it again instead of flickering.
let pointed = false;
addEventListener("pointerdown", () => { pointed = true; }, true);
addEventListener("keydown", () => { pointed = false; }, true);
addEventListener("click", event => { if (pointed && event.target.tagName === "BUTTON") event.target.blur(); });
addEventListener("change", event => { if (pointed) event.target.blur(); });
addEventListener("keyup", event => { if (event.key === " " && state.peek) { state.peek = false; draw(); } });

for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => { if (state.view === "blind" && button.dataset.view !== "blind") drawTally(); setView(button.dataset.view); });
for (const button of document.querySelectorAll("[data-map]")) button.addEventListener("click", () => setMap(button.dataset.map));
for (const button of document.querySelectorAll("[data-vote]")) button.addEventListener("click", () => vote(button.dataset.vote));
find("smaller").addEventListener("click", () => zoomBy(-1));
find("larger").addEventListener("click", () => zoomBy(1));
find("swap").addEventListener("click", swap);
find("peek").addEventListener("click", () => { state.peek = !state.peek; draw(); });
find("undo").addEventListener("click", undo);
find("end").addEventListener("click", end);
find("save").addEventListener("click", save);
find("slider").addEventListener("input", () => { state.split = Number(find("slider").value); move(); });
for (const side of ["left", "right"]) find(side).addEventListener("change", () => { state[side] = Number(find(side).value); draw(); });
find("picture").addEventListener("change", () => { show(Number(find("picture").value)); draw(); });
addEventListener("resize", () => { document.documentElement.style.setProperty("--across", across()); move(); });
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
addEventListener("beforeprint", () => {
  const all = state.view === "blind" ? [] : shownOf(current());
  find("paper").replaceChildren(...all.map(shown => { const figure = make("figure"); figure.append(make("img", "", { src: shown.image, alt: shown.codec }), make("figcaption", caption(shown, current()))); return figure; }));
});
addEventListener("afterprint", () => find("paper").replaceChildren());

find("picture").replaceChildren(...pictures.map((picture, place) => new Option(picture.name, place)));
show(0);
Object.assign(state, { left: pictures[0].codecs.length > 1 ? 1 : 0, right: pictures[0].codecs.length > 1 ? 2 : 1 });
draw();
