// Searches the index of the page's language; nothing is fetched, so that the guide works from a folder.
(function () {
  "use strict";
  var input = document.getElementById("q"), hits = document.getElementById("hits");
  var MOST = 40, on = -1;

  function plain(text) {
    return text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  }

  var entries = (window.INDEX || []).map(function (row) {
    var title = plain(row[1]);
    return { kind: row[0], title: row[1], url: row[2], head: title, all: title + " " + plain(row[3]) };
  });

  // What begins with the words comes first, then what has them in its title, then the rest.
  function rank(entry, words, whole) {
    for (var i = 0; i < words.length; i++) if (entry.all.indexOf(words[i]) < 0) return -1;
    if (entry.head === whole || entry.head.indexOf(whole + " ") === 0) return 0;
    if (entry.head.indexOf(whole) === 0) return 1;
    if (words.every(function (word) { return entry.head.indexOf(word) >= 0; })) return 2;
    return 3;
  }

  function find(text) {
    var whole = plain(text).trim(), words = whole.split(/\s+/).filter(Boolean), found = [];
    if (!words.length) return null;
    entries.forEach(function (entry, at) {
      var order = rank(entry, words, whole);
      if (order >= 0) found.push([order, at, entry]);
    });
    found.sort(function (one, two) { return one[0] - two[0] || one[1] - two[1]; });
    return found.slice(0, MOST).map(function (each) { return each[2]; });
  }

  function show() {
    var found = find(input.value);
    hits.textContent = "";
    on = -1;
    hits.hidden = found === null;
    if (found === null) return;
    found.forEach(function (entry) {
      var item = document.createElement("li"), link = document.createElement("a"), kind = document.createElement("span");
      kind.className = "kind";
      kind.textContent = KINDS[document.documentElement.lang][entry.kind];
      link.href = entry.url;
      link.append(kind, entry.title);
      item.append(link);
      hits.append(item);
    });
    if (!found.length) {
      var none = document.createElement("li");
      none.className = "none";
      none.textContent = hits.dataset.none;
      hits.append(none);
    }
  }

  function move(step) {
    var items = hits.querySelectorAll("li:not(.none)");
    if (!items.length) return;
    if (items[on]) items[on].classList.remove("on");
    on = (on + step + items.length) % items.length;
    items[on].classList.add("on");
    items[on].scrollIntoView({ block: "nearest" });
  }

  var KINDS = {
    en: { page: "page", element: "element", finding: "finding", list: "list", code: "code" },
    fr: { page: "page", element: "élément", finding: "constat", list: "liste", code: "code" }
  };

  input.addEventListener("input", show);
  input.addEventListener("focus", show);
  input.addEventListener("keydown", function (event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      var link = hits.querySelector("li.on a") || hits.querySelector("li a");
      if (link) { link.click(); hits.hidden = true; input.blur(); }
    } else if (event.key === "Escape") {
      hits.hidden = true;
      input.blur();
    }
  });
  hits.addEventListener("click", function () { hits.hidden = true; });
  document.addEventListener("click", function (event) {
    if (!event.target.closest(".search")) hits.hidden = true;
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && document.activeElement !== input) { event.preventDefault(); input.focus(); }
  });

  // The other language opens at the same place.
  var other = document.querySelector("[data-keep]");
  other.addEventListener("click", function () { other.hash = location.hash; });

  // Each example can be copied as it stands; without a clipboard (an old browser) there is no button.
  var WORDS = { en: ["Copy", "Copied"], fr: ["Copier", "Copié"] }[document.documentElement.lang];
  if (navigator.clipboard) document.querySelectorAll("pre").forEach(function (text) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = WORDS[0];
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(text.textContent).then(function () {
        button.textContent = WORDS[1];
        setTimeout(function () { button.textContent = WORDS[0]; }, 1500);
      });
    });
    text.before(button);
  });

  // A link to an example opens it.
  function open() {
    var there = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (there && there.tagName === "DETAILS") there.open = true;
  }
  window.addEventListener("hashchange", open);
  open();
})();
