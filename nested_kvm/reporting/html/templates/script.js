"use strict";
document.documentElement.classList.add("js");
addEventListener("DOMContentLoaded", () => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const texts = new WeakMap();
  const textOf = (item) => {
    if (!texts.has(item)) {
      const chapter = item.closest(".chapter");
      const own = chapter && chapter !== item ? `${all("h3, .cause", chapter).map((part) => part.textContent).join(" ")} ` : "";
      texts.set(item, (own + item.textContent).toLowerCase());
    }
    return texts.get(item);
  };

  const words = document.getElementById("words");
  const severities = all(".search [name=severity]");
  const onlyNew = document.querySelector(".search [name=new]");
  const shown = document.getElementById("shown");
  const ITEMS = ".problem, .host, .finding, .reason, .guest, .target, .map tbody tr";
  const MATCHED = ITEMS.split(", ").map((item) => `${item}:not([hidden])`).join(", ");

  const matches = (item, sought, chosen) =>
    sought.every((word) => textOf(item).includes(word)) &&
    (!item.dataset.severity || chosen === null || chosen.has(item.dataset.severity)) &&
    (!item.matches(".finding, .problem") || !onlyNew?.checked || item.dataset.drift === "new");

  const filterTable = (sought, chosen) => {
    for (const row of all("#results-table tbody")) {
      const severity = row.querySelector(".col-severity")?.textContent;
      const text = row.textContent.toLowerCase();
      row.hidden = !(sought.every((word) => text.includes(word)) && (chosen === null || chosen.has(severity)));
    }
  };
  const filter = () => {
    const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = severities.length ? new Set(severities.filter((box) => box.checked).map((box) => box.value)) : null;
    for (const item of all(ITEMS)) item.hidden = !matches(item, sought, chosen);
    for (const chapter of all(".chapter")) chapter.hidden = !chapter.querySelector(".finding:not([hidden])");
    for (const more of all(".more")) more.open = sought.length > 0 && more.querySelector(MATCHED) !== null;
    filterTable(sought, chosen);
    const findings = all(".finding");
    const left = findings.filter((item) => !item.hidden).length;
    shown.textContent = left === findings.length ? "" : `${left} of ${findings.length} findings`;
  };
  let waiting;
  words?.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  words?.form.addEventListener("change", filter);
  words?.form.addEventListener("submit", (event) => event.preventDefault());

  const copy = async (button) => {
    const commands = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(commands.textContent);
    } catch {
      getSelection().selectAllChildren(commands);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target?.closest("main details")) return;
    for (let around = target.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  document.addEventListener("click", (event) => {
    if (event.target.matches(".copy")) copy(event.target);
    if (event.target.closest("main a[href^='#']")) setTimeout(openTarget);
  });

  // pytest-html draws its whole table again for each click on a row; ours have nothing to unfold.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#results-table tbody")) event.stopPropagation();
    const link = event.target.closest?.("#results-table tbody a");
    if (link) setTimeout(openTarget);
  }, true);
  for (const empty of all("#environment ul:empty")) empty.remove(); // pytest-html closes its lists by opening another

  const sayOrder = () => {
    for (const head of all("#results-table .sortable")) {
      const order = head.classList.contains("asc") ? "ascending" : head.classList.contains("desc") ? "descending" : "none";
      head.setAttribute("aria-sort", order);
    }
    if (words?.value || severities.some((box) => !box.checked)) filter();
  };
  new MutationObserver(sayOrder).observe(document.body, { childList: true });
  sayOrder();
});
