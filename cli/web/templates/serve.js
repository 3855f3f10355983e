// The page keeps the file and sends it with every request, as the server keeps nothing.
{
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const PAUSE = 450; // milliseconds without a change after which the whole is coded
  const MEDIA = { aec: "image/x-aec", png: "image/png", jpeg: "image/jpeg" };
  // What is worked on: `file`, its part `crop` as the server gave it, `source` of what it says of the file, the .aec file.
  const fresh = () => ({ file: null, crop: null, source: null, place: null, aec: null, files: [], zip: null });
  let job = fresh(), looking = null, again = false, coding = null, timer = 0;

  const ask = async (address, query, body, signal) => {
    let answer;
    try {
      answer = await fetch(`${address}?${new URLSearchParams(query)}`, { method: "POST", body, signal, headers: { Authorization: `Bearer ${token}` } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (body instanceof File && !(await canBeRead(body))) throw new Error(unreadable(body));
      throw new Error("The server does not answer. Is aecodec serve still running?");
    }
    if (!answer.ok) throw new Error(sentence(await answer.text()));
    return answer;
  };
  const canBeRead = file => file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  const folders = new WeakSet(); // of what was dropped, which comes as files that cannot be read
  const unreadable = file => folders.has(file) ? `${file.name} is a folder: give the pictures in it.` : `${file.name} cannot be read, as it has changed or is gone: give it again.`;
  const sentence = text => { const [first, ...rest] = text || "it failed"; return `${first.toUpperCase()}${rest.join("")}.`; };
  const sized = bytes => bytes < 1000 ? `${bytes} B` : bytes < 999500 ? `${(bytes / 1000).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`;
  const stem = name => name.replace(/\.[^.]*$/, "") || name;
  const complain = text => { find("wrong").textContent = text; find("wrong").hidden = !text; };
  const tell = (text, share) => { find("status").textContent = text; find("progress").value = share; };
  const mode = () => document.querySelector("[name=mode]:checked").value;

  const query = () => {
    const chosen = { tune: find("tune").value, effort: find("effort").value, other: find("other").value };
    if (mode() === "quality") chosen.quality = find("quality").value;
    if (mode() === "bytes") chosen.max_bytes = Math.round(1000 * find("kilobytes").value);
    if (mode() === "lossless") chosen.lossless = 1;
    return chosen;
  };

  // A part, as soon as it may be: one request at a time, and the last settings win.
  // A look takes a second, so that it follows a drag. One at an effort takes many, and ends as soon as settings change.
  const look = async () => {
    if (looking) { again = true; return; }
    const mine = job, control = looking = new AbortController();
    try {
      do {
        again = false;
        control.slow = find("effort").value > 0;
        tell("Coding a part …", 0);
        const place = mine.place ? { left: mine.place[0], top: mine.place[1] } : {};
        const more = mine.crop ? { whole: mine.source.width * mine.source.height } : place;
        const found = await (await ask("/look", { ...query(), ...more }, mine.crop ?? mine.file, control.signal)).json();
        if (job !== mine) return;
        if (!mine.crop) meet(mine, found);
        showInViewer(mine, found.comparison, " Coded by themselves: the whole follows.");
        const part = found.comparison.codecs[0];
        if (mine.whole) foretell(mine, part);
        complain("");
      } while (again);
    } catch (error) {
      if (job !== mine || control.signal.aborted) return;
      if (!mine.source) { forget(error.message); return; }
      clear();
      tell(`Of the part: ${error.message}`, 0);
    } finally {
      looking = null;
      if ((job !== mine || control.signal.aborted) && job.file) look();
    }
    if (job === mine && !coding) timer = setTimeout(whole, PAUSE);
  };

  // What the first look says of a file.
  const meet = (mine, found) => {
    const first = !mine.source, { comparison } = found;
    mine.source = found.source;
    mine.crop = blobOf(comparison.original);
    mine.place = [comparison.left, comparison.top];
    mine.whole = comparison.shown_width * comparison.shown_height === found.source.width * found.source.height;
    mine.seen = !first;
    find("thumbnail").src = found.source.thumbnail;
    find("size").textContent = `${found.source.width} × ${found.source.height}, ${sized(mine.file.size)}`;
    find("chooser").disabled = mine.whole;
    const frame = find("frame"), { width, height } = found.source;
    frame.hidden = mine.whole;
    Object.assign(frame.style, { left: `${100 * comparison.left / width}%`, top: `${100 * comparison.top / height}%`, width: `${100 * comparison.shown_width / width}%`, height: `${100 * comparison.shown_height / height}%` });
  };
  const blobOf = uri => {
    const [head, content] = uri.split(";base64,"), text = atob(content);
    return new Blob([Uint8Array.from(text, letter => letter.charCodeAt(0))], { type: head.slice(5) });
  };

  // Shows a comparison in the viewer, in the place and zoom that it has.
  const showInViewer = (mine, comparison, said) => {
    const { width, height, notes } = mine.source;
    const shown = { ...comparison, name: mine.file.name, width, height, left: mine.place[0], top: mine.place[1], notes: [...new Set([...notes, ...comparison.notes])] };
    shown.part = mine.whole ? "" : `Shown are ${shown.shown_width} × ${shown.shown_height} of ${width} × ${height} pixels. Click the small picture to see another part.${said}`;
    const keep = mine.drawn === true && pictures[0].codecs.length === shown.codecs.length;
    find("viewer").hidden = false;
    setPictures([shown], keep);
    mine.drawn = true;
  };
  // Where an answer failed, the last one is not to be taken for it.
  const clear = () => {
    for (const id of ["amount", "share", "figures"]) find(id).textContent = "";
    find("viewer").hidden = true;
    tell("", 0);
    complain("");
  };
  const foretell = (mine, part) => { find("amount").textContent = sized(part.bytes); find("share").textContent = shareOf(mine, part.bytes); };
  const shareOf = (mine, bytes) => `${(100 * bytes / mine.file.size).toPrecision(2)} % of ${sized(mine.file.size)}`;

  // The whole file, with a bar; whatever changes a setting ends it.
  const whole = async () => {
    const mine = job, control = coding = new AbortController();
    try {
      const answer = await ask("/whole", { ...query(), left: mine.place[0], top: mine.place[1] }, mine.file, control.signal);
      for await (const event of linesOf(answer.body)) {
        if (coding !== control) return;
        if (event.error) throw new Error(sentence(event.error));
        if (event.result) finish(mine, event.result);
        else tell(`The whole: ${event.label} …`, event.share);
      }
    } catch (error) {
      if (coding !== control) return;
      clear();
      complain(error.message);
    } finally {
      control.abort();
      if (coding === control) coding = null;
    }
  };
  const linesOf = async function* (body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  };
  const finish = (mine, result) => {
    mine.aec = new Blob([Uint8Array.from(atob(result.file), letter => letter.charCodeAt(0))], { type: MEDIA.aec });
    find("amount").textContent = sized(result.bytes);
    find("share").textContent = shareOf(mine, result.bytes);
    const made = result.quality === null ? "lossless" : `quality ${+result.quality.toFixed(2)}`;
    find("figures").textContent = [`${result.bpp.toFixed(3)} bpp`, made, ...(result.psnr === null ? [] : [`${result.psnr.toFixed(2)} dB`])].join(", ");
    tell("The file is ready.", 1);
    if (result.comparison) showInViewer(mine, result.comparison, " The whole was coded, at equal bytes.");
    else tell(`The file is ready. ${find("other").value} was coded for the part alone, as the whole would take much memory.`, 1);
    enable("aec", "png", "jpeg");
    complain("");
  };
  const enable = (...kinds) => { for (const button of document.querySelectorAll("[data-save]")) button.disabled = !kinds.includes(button.dataset.save); };

  const change = () => {
    for (const field of document.querySelectorAll("[data-mode]")) field.hidden = field.dataset.mode !== mode();
    find("drawn").textContent = find("quality").value;
    if (job.files.length) return offer();
    if (!job.file) return;
    stop();
    job.aec = null;
    enable();
    find("figures").textContent = "";
    if (!job.whole) { find("amount").textContent = "…"; find("share").textContent = ""; }
    look();
  };
  const stop = all => { clearTimeout(timer); coding?.abort(); coding = null; if (all || looking?.slow) looking?.abort(); };

  // Files come: one picture, one .aec file, or many.
  const take = async files => {
    if (!files.length) return;
    stop(true);
    const mine = job = fresh();
    complain("");
    enable();
    document.body.classList.add("busy");
    for (const id of ["seen", "many", "viewer"]) find(id).hidden = true;
    for (const id of ["amount", "share", "figures", "size"]) find(id).textContent = "";
    for (const id of ["settings", "file", "result"]) find(id).hidden = false;
    find("thumbnail").removeAttribute("src");
    find("frame").hidden = true;
    find("desk").hidden = false;
    tell("", 0);
    for (const button of document.querySelectorAll("[data-save]")) button.hidden = false;
    document.querySelector("[data-save=aec]").textContent = "Save .aec";
    find("beside").hidden = files.length > 1;
    if (files.length > 1) { mine.files = files; find("file").hidden = true; offer(); return; }
    const [file] = files;
    if (file.size > given.most_bytes) return forget(`${file.name} has ${sized(file.size)}: at most ${sized(given.most_bytes)} are taken.`);
    find("name").textContent = file.name;
    find("size").textContent = sized(file.size);
    const readable = await canBeRead(file), isPicture = readable && !(await isOurs(file));
    if (job !== mine) return;
    if (!readable) return forget(unreadable(file));
    if (!isPicture) return see(mine, file);
    mine.file = file;
    look();
  };
  const isOurs = async file => { const head = new Uint8Array(await file.slice(0, given.magic.length).arrayBuffer()); return given.magic.every((byte, place) => head[place] === byte); };
  const forget = text => { stop(true); job = fresh(); complain(text); document.body.classList.remove("busy"); find("desk").hidden = true; };

  // An .aec file is shown with what it holds.
  const see = async (mine, file) => {
    find("settings").hidden = true;
    document.querySelector("[data-save=aec]").hidden = true;
    tell("Decoding …", 0);
    const { signal } = coding = new AbortController();
    try {
      const about = await (await ask("/info", {}, file, signal)).json();
      const picture = await (await ask("/decode", { format: "png" }, file, signal)).blob();
      if (job !== mine) return;
      Object.assign(mine, { aec: file, png: picture });
      if (find("whole").src) URL.revokeObjectURL(find("whole").src);
      Object.assign(find("whole"), { src: URL.createObjectURL(picture), alt: file.name, className: about.mode.endsWith("A") ? "clear" : "" });
      find("amount").textContent = sized(about.size);
      find("size").textContent = `${about.width} × ${about.height}`;
      find("figures").textContent = `${about.bpp.toFixed(3)} bpp, ${about.quality === null ? "lossless" : `quality ${about.quality}`}`;
      const kinds = Object.entries(about.metadata).map(([name, size]) => `${name} (${sized(size)})`).join(", ");
      const facts = { Mode: about.mode, Model: about.model ?? "none", Metadata: kinds || "none" };
      find("facts").replaceChildren(...Object.entries(facts).flatMap(([name, fact]) => [make("dt", name), make("dd", fact)]));
      find("seen").hidden = false;
      tell("The picture, as it is decoded.", 1);
      enable("png", "jpeg");
    } catch (error) {
      if (job === mine) forget(error.message);
    }
  };

  // Many pictures become a zip.
  const offer = () => {
    stop();
    job = { ...fresh(), files: job.files };
    for (const kind of ["png", "jpeg"]) document.querySelector(`[data-save=${kind}]`).hidden = true;
    document.querySelector("[data-save=aec]").textContent = `Compress ${job.files.length} files`;
    enable("aec");
    find("many").hidden = false;
    find("amount").textContent = sized(job.files.reduce((sum, file) => sum + file.size, 0));
    find("share").textContent = `in ${job.files.length} files`;
    find("figures").textContent = "";
    tell("", 0);
    find("list").replaceChildren(...job.files.map(file => { const row = make("tr"); row.append(make("td", file.name), make("td", sized(file.size)), make("td"), make("td", "", { className: "note" })); return row; }));
  };
  const pack = async () => {
    const mine = job, control = coding = new AbortController(), chosen = query(), names = new Set(), made = [];
    enable();
    let before = 0;
    for (const [place, file] of mine.files.entries()) {
      const [, , after, said] = find("list").rows[place].cells;
      tell(`Coding ${place + 1} of ${mine.files.length} …`, place / mine.files.length);
      said.textContent = "coding …";
      try {
        if (file.size > given.most_bytes) throw new Error(`Has ${sized(file.size)}: at most ${sized(given.most_bytes)} are taken.`);
        const bytes = new Uint8Array(await (await ask("/compress", chosen, file, control.signal)).arrayBuffer());
        if (job !== mine) return;
        made.push({ name: unused(names, stem(file.name)), bytes });
        before += file.size;
        after.textContent = sized(bytes.length);
        said.textContent = `${(100 * bytes.length / file.size).toPrecision(2)} %`;
      } catch (error) {
        if (job !== mine) return;
        said.textContent = error.message;
      }
    }
    if (coding === control) coding = null;
    if (!made.length) { tell("", 0); complain("None of the files could be compressed."); enable("aec"); return; }
    mine.zip = zipOf(made);
    const after = made.reduce((sum, { bytes }) => sum + bytes.length, 0);
    find("amount").textContent = sized(after);
    find("share").textContent = `of ${sized(before)}, ${(100 * after / before).toPrecision(2)} %`;
    document.querySelector("[data-save=aec]").textContent = "Save the zip";
    tell(made.length < mine.files.length ? `${made.length} of ${mine.files.length} files are in the zip.` : "All are in the zip.", 1);
    enable("aec");
  };
  const unused = (names, wanted) => {
    let name = `${wanted}.aec`;
    for (let number = 2; names.has(name); number++) name = `${wanted} (${number}).aec`;
    names.add(name);
    return name;
  };

  const save = (blob, name) => {
    const link = make("a", "", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const saveAs = async kind => {
    const mine = job;
    if (mine.files.length) return mine.zip ? save(mine.zip, "pictures.zip") : pack();
    const name = `${stem((mine.file ?? mine.aec).name)}.${kind === "jpeg" ? "jpg" : kind}`;
    if (kind === "aec") return save(mine.aec, name);
    try {
      save(kind === "png" && mine.png ? mine.png : await (await ask("/decode", { format: kind }, mine.aec)).blob(), name);
    } catch (error) {
      complain(error.message);
    }
  };

  const filesOf = ({ items }) => [...items].filter(item => item.kind === "file").map(item => {
    const file = item.getAsFile();
    if (item.webkitGetAsEntry()?.isDirectory) folders.add(file);
    return file;
  });
  find("files").addEventListener("change", () => { take([...find("files").files]); find("files").value = ""; });
  let inside = 0;
  addEventListener("dragenter", event => { event.preventDefault(); inside++; document.body.classList.add("over"); });
  addEventListener("dragleave", () => { if (--inside <= 0) { inside = 0; document.body.classList.remove("over"); } });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => { event.preventDefault(); inside = 0; document.body.classList.remove("over"); take(filesOf(event.dataTransfer)); });
  addEventListener("paste", event => take(filesOf(event.clipboardData)));
  find("settings").addEventListener("submit", event => event.preventDefault());
  find("settings").addEventListener("input", change);
  find("chooser").addEventListener("click", event => {
    const box = find("thumbnail").getBoundingClientRect(), { source, file } = job;
    if (!source || job.whole || !file) return;
    const [x, y] = event.detail ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [Math.random(), Math.random()];
    const shown = pictures[0];
    job.place = [Math.max(Math.round(x * source.width - shown.shown_width / 2), 0), Math.max(Math.round(y * source.height - shown.shown_height / 2), 0)];
    job.crop = null;
    change();
  });
  for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", () => saveAs(button.dataset.save));
  change();
}
