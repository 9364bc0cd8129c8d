// The open tab stands in the address, so that a reload, the back button and a link lead to it; a reload keeps the prompt.
(() => {
  const PROMPT = `prompt of ${location.pathname}`;
  const tab = (id) => document.querySelector(`#tabs [role=tab][data-tab-id="${CSS.escape(id)}"]`);
  const opened = () => document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId;
  const wanted = () => location.hash.slice(1) || "route";
  const prompt = () => document.querySelector("#prompt textarea");
  const follow = () => { if (opened() !== wanted()) tab(wanted())?.click(); };

  const note = () => {
    const id = opened();
    if (id && id !== wanted()) history.pushState(null, "", `#${id}`);
  };
  const restore = () => {
    const kept = sessionStorage.getItem(PROMPT);
    if (!kept || prompt().value) return;
    prompt().value = kept;
    prompt().dispatchEvent(new Event("input", { bubbles: true }));
  };
  const start = () => {
    restore();
    follow();
    new MutationObserver(note).observe(document.getElementById("tabs"), { subtree: true, attributeFilter: ["aria-selected"] });
  };
  const loading = new MutationObserver(() => {
    // Gradio hears nothing of its tabs before it is ready; the header is what it asks for first.
    if (!opened() || !document.getElementById("serving")) return;
    loading.disconnect();
    start();
  });
  loading.observe(document, { childList: true, subtree: true });

  window.addEventListener("popstate", follow);
  window.addEventListener("pagehide", () => { if (prompt()) sessionStorage.setItem(PROMPT, prompt().value); });
  // To log in again leads back to this very address.
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest(".ended a")) return;
    event.preventDefault();
    location.reload();
  });
  // Whoever logs out leaves nothing to the next person.
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("a[href=logout]")) return;
    sessionStorage.clear();
    if (prompt()) prompt().value = "";
  });
})();
