// What Gradio leaves to the mouse: arrow keys on tabs and choices, and a way into what scrolls.
(() => {
  const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

  document.addEventListener("keydown", (event) => {
    if (!(event.target instanceof Element) || !event.target.matches("#tabs [role=tab]")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tabs = [...event.target.parentElement.querySelectorAll("[role=tab]")];
    const at = tabs.indexOf(event.target) + tabs.length;
    const to = event.key === "Home" ? 0 : event.key === "End" ? -1 : STEPS[event.key] && (at + STEPS[event.key]) % tabs.length;
    if (to === undefined) return;
    event.preventDefault();
    tabs.at(to).focus();
    tabs.at(to).click();
  }, true);

  // Choices that share a name are one group to the browser: one stop, and arrow keys within.
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
