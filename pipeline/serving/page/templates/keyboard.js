// What Gradio leaves to the mouse: arrow keys on tabs and choices, and a way into what scrolls.
(() => {
  const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

  const KINDS = ["[role=tablist] [role=tab]", "fieldset input[type=radio]"];

  document.addEventListener("keydown", (event) => {
    const kind = event.target instanceof Element && KINDS.find((known) => event.target.matches(known));
    if (!kind || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...event.target.closest("[role=tablist], fieldset").querySelectorAll(kind)];
    const at = all.indexOf(event.target) + all.length;
    const to = event.key === "Home" ? 0 : event.key === "End" ? -1 : STEPS[event.key] && (at + STEPS[event.key]) % all.length;
    if (to === undefined) return;
    event.preventDefault();
    all.at(to).focus();
    all.at(to).click();
  }, true);

  // A tab that was clicked keeps no focus: the next arrow key is then the open tab's own, as in Review.
  document.addEventListener("click", (event) => {
    if (event.detail && event.target instanceof Element && event.target.matches(KINDS[0])) event.target.blur();
  });

  // Choices that share a name are one group to the browser and to a screen reader, and one stop.
  const group = (fieldset) => {
    for (const choice of fieldset.querySelectorAll("input[type=radio]")) choice.name = fieldset.id;
    fieldset.setAttribute("aria-label", fieldset.querySelector("[data-testid=block-info]")?.textContent.trim() ?? "");
  };
  // A long prompt scrolls within its own frame; a short one needs no stop.
  const reach = (prompt) => {
    if (prompt.scrollHeight <= prompt.clientHeight + 1 || prompt.hasAttribute("tabindex")) return;
    prompt.tabIndex = 0;
    prompt.setAttribute("role", "group");
    prompt.setAttribute("aria-label", "Prompt");
  };
  const mend = () => {
    due = false;
    document.querySelectorAll("fieldset[id]:has(input[type=radio])").forEach(group);
    document.querySelectorAll(".prompt").forEach(reach);
  };
  let due = false;
  new MutationObserver(() => {
    if (!due) requestAnimationFrame(mend);
    due = true;
  }).observe(document, { childList: true, subtree: true });
})();
