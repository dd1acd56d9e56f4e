// The finder of docs/porting.md: choose a library and a function, or type a part of a name, and see the call of fastconv.
// Pages without <div id="porting-finder"> are left alone; the rows come from porting-rows.js, beside this file.

(() => {
  "use strict";

  const rowsAddress = new URL("porting-rows.js", document.currentScript.src);
  const SHOWN = 5; // rows at once

  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function code(text) {
    const block = make("div", "", { class: "highlight" });
    block.append(make("pre", text));
    return block;
  }

  function card(row) {
    const found = make("div", "", { class: "porting-row" });
    found.append(make("p", `${row.library}: ${row.function}`, { class: "rubric" }));
    found.append(code(row.theirs), make("p", "is in fastconv"), code(row.ours));
    if (row.dropIn) found.append(make("p", "or"), code(row.dropIn));
    const facts = Object.entries(row.facts).filter(([, value]) => value);
    found.append(make("p", facts.map(([name, value]) => `${name}: ${value}`).join(" · ")));
    for (const table of row.choices) {
      const list = make("ul", "");
      for (const [theirs, ours] of table) {
        const item = make("li", "");
        item.append(make("code", theirs), " → ", make("code", ours));
        list.append(item);
      }
      found.append(list);
    }
    if (row.notes) found.append(make("p", row.notes.replaceAll("`", "")));
    return found;
  }

  function build(place, rows) {
    const libraries = [...new Set(rows.map((row) => row.library))];
    const library = make("select", "", { "aria-label": "library" });
    const name = make("select", "", { "aria-label": "function" });
    const words = make("input", "", { type: "search", placeholder: "or type: reflect, transpose, NaN", "aria-label": "words" });
    const result = make("div", "", { "aria-live": "polite" });

    function show(found) {
      result.replaceChildren(...found.slice(0, SHOWN).map(card));
      const more = found.length - SHOWN;
      if (!found.length) result.append(make("p", "Nothing has all these words."));
      if (more > 0) result.append(make("p", `${more} more`));
    }

    function ofLibrary() {
      return rows.filter((row) => row.library === library.value);
    }

    function chooseLibrary() {
      name.replaceChildren(...ofLibrary().map((row) => make("option", row.function)));
      chooseFunction();
    }

    function chooseFunction() {
      words.value = "";
      show(ofLibrary().filter((row) => row.function === name.value));
    }

    function search() {
      const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (!parts.length) return chooseFunction();
      const texts = rows.map((row) => JSON.stringify(row).toLowerCase());
      show(rows.filter((_, i) => parts.every((part) => texts[i].includes(part))));
    }

    library.append(...libraries.map((each) => make("option", each)));
    library.addEventListener("change", chooseLibrary);
    name.addEventListener("change", chooseFunction);
    words.addEventListener("input", search);
    place.append(make("p", "Find a function:"), library, " ", name, " ", words, result);
    chooseLibrary();
  }

  function start() {
    const place = document.getElementById("porting-finder");
    if (!place) return;
    const script = make("script", "", { src: rowsAddress });
    script.addEventListener("load", () => build(place, window.portingRows));
    document.head.append(script);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
