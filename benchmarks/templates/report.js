// Tables are sorted by the head that is pressed, a button of its own for the keyboard.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) head.replaceChildren(make("button", head.textContent, { type: "button" }));
  [...table.tHead.rows[0].cells].forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => { const text = row.cells[column]?.textContent.trim() ?? ""; const number = parseFloat(text); return isNaN(number) ? text : number; };
    const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
    const rows = [...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b)) * (down ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
}

find("copy").addEventListener("click", () => navigator.clipboard?.writeText(find("command").textContent));
