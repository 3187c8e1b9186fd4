"use strict";

// Browsers may drop a table's meaning where the style lays it out as cards.
const roles = {
  table: "table",
  caption: "caption",
  "thead, tbody": "rowgroup",
  tr: "row",
  td: "cell",
  "thead th": "columnheader",
  "tbody th": "rowheader",
};
for (const [selector, role] of Object.entries(roles))
  for (const part of document.querySelectorAll(selector))
    part.setAttribute("role", role);

const table = document.querySelector("table.sortable");
const said = document.getElementById("said");

function sortBy(head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  const key = (row) => {
    const cell = row.cells[head.cellIndex];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (!a || !b) return !a - !b; // what is not there comes last, both ways
    const size = a - b; // NaN where they are not numbers
    const order = isNaN(size) ? a.localeCompare(b, "en", { numeric: true }) : size;
    return down ? -order : order;
  };
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(key(a), key(b)));
  table.tBodies[0].append(...rows);
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  const way = down ? "descending" : "ascending";
  head.setAttribute("aria-sort", way);
  said.textContent = `Sorted by ${head.textContent.trim()}, ${way}.`;
}

for (const head of table.tHead.rows[0].cells)
  head.firstElementChild.addEventListener("click", () => sortBy(head));

document.getElementById("failing")?.addEventListener("change", (event) => {
  for (const row of table.tBodies[0].rows)
    row.hidden = event.target.checked && row.dataset.holds === "yes";
  const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
  said.textContent = `${shown} claims shown.`;
});

addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
