"use strict";
// Sorts a table by a column; without scripts the tables are as complete, and keep their order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const cells = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const number = Number(text.replace(/,/g, ""));
    return text === "" || Number.isNaN(number) ? text : number;
  };
  const compare = (one, other) => {
    const numbers = (typeof one === "number") - (typeof other === "number");
    if (numbers) return -numbers; // what is no number comes last
    return typeof one === "number" ? one - other : one.localeCompare(other);
  };
  cells.forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const falling = cell.getAttribute("aria-sort") === "ascending";
      for (const other of cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort((one, other) => (falling ? -1 : 1) * compare(one[0], other[0]));
      body.append(...rows.map((pair) => pair[1]));
    });
  });
}
