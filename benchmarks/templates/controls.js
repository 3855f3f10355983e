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

// Keys are for the viewer while it is in sight, but for what is typed into a field or a list.
const listens = event => {
  const box = find("screen").getBoundingClientRect(), typed = event.target.matches("input:not([type=range], [type=checkbox], [type=radio]), select, textarea");
  return pictures.length && box.height && box.bottom > 0 && box.top < innerHeight && !typed && !(event.ctrlKey || event.metaKey || event.altKey);
};
const press = event => {
  if (!listens(event)) return;
  const key = event.key.toLowerCase(), blind = state.view === "blind", step = 40 / move();
  if (event.target.matches("input, [role=region]") && (key.startsWith("arrow") || key === " ")) return;
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
  else if (key === " " && event.target.matches("button, summary")) return;
  else if (actions[key]) { if (!(event.repeat && blind)) actions[key](); }
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
addEventListener("resize", () => { if (!pictures.length || !find("panes").clientWidth) return; document.documentElement.style.setProperty("--across", across()); move(); });
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
addEventListener("beforeprint", () => {
  const all = state.view === "blind" || !pictures.length ? [] : shownOf(current());
  find("paper").replaceChildren(...all.map(shown => { const figure = make("figure"); figure.append(make("img", "", { src: shown.image, alt: shown.codec }), make("figcaption", caption(shown, current()))); return figure; }));
});
addEventListener("afterprint", () => find("paper").replaceChildren());

if (given.pictures.length) setPictures(given.pictures);
