
"use strict";
for (const form of document.querySelectorAll("form.filters")) {
  const records = [...form.parentElement.querySelectorAll("article")];
  const filters = [...form.querySelectorAll("[data-filter]")];
  const texts = records.map((record) => record.textContent.toLocaleLowerCase());
  const told = form.querySelector("output");
  const fits = (record, place) => filters.every((filter) => {
    const wanted = filter.value;
    if (!wanted) return true;
    if (filter.dataset.filter === "text") return texts[place].includes(wanted.toLocaleLowerCase());
    return record.dataset[filter.dataset.filter] === wanted;
  });
  const show = () => {
    let count = 0;
    records.forEach((record, place) => {
      record.hidden = !fits(record, place);
      if (!record.hidden) count += 1;
    });
    told.textContent = `${count} of ${records.length} shown`;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  form.hidden = false;
  show();
}
