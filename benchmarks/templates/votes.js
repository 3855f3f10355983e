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
// What is voted on, as text: `serve` shows other pictures and settings later.
const recordOf = ({ name, width, height, left, top, shown_width, shown_height, codecs }) => JSON.stringify({
  name, width, height, left, top, shown_width, shown_height, codecs: codecs.map(({ codec, setting, bytes, bpp }) => ({ codec, setting, bytes, bpp })),
});
const vote = choice => {
  const picture = current(), name = place => shownOf(picture)[place].codec;
  const [a, b] = [name(trial.a), name(trial.b)];
  votes.push({ seen: recordOf(picture), picture: picture.name, a, b, nearer: choice === "a" ? a : choice === "b" ? b : null, seconds: Math.round((performance.now() - began) / 100) / 10 });
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
  const all = [...new Set([...given.pictures.map(recordOf), ...votes.map(one => one.seen)])];
  const placed = votes.map(({ seen, picture, ...one }) => ({ picture, place: all.indexOf(seen), ...one }));
  const record = { schema: "aecodec-votes/1", saved: new Date().toISOString(), confidence: 0.95, pictures: all.map(text => JSON.parse(text)), tally: tally(), votes: placed };
  const link = make("a", "", { href: URL.createObjectURL(new Blob([JSON.stringify(record, null, 1)], { type: "application/json" })), download: "votes.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
};
