// Review by keyboard and mouse: a press that comes while another is under way waits until the next row is on show.
(() => {
  const KEYS = {
    k: "review-keep", r: "review-relabel", d: "review-drop", u: "review-again",
    arrowleft: "review-previous", arrowup: "review-previous", arrowright: "review-next", arrowdown: "review-next",
  };
  const TICKED = ["checkbox", "radio", "button", "submit"];
  const PATIENCE = 20000;
  const waiting = [];
  let underWay = false;

  const typing = (target) =>
    target.isContentEditable || target.matches("textarea, select") ||
    (target.matches("input") && !TICKED.includes(target.type));
  const scrolling = (target, key) => key.startsWith("arrow") && target.closest(".scroll, .prompt");
  const usable = (button) => button && !button.disabled && button.offsetParent !== null;
  const told = () => document.querySelector("#suspect [data-turn]");

  // The answer to a press renews the notice; two frames later the row that came with it has been drawn.
  const answered = (before) => new Promise((done) => {
    const end = performance.now() + PATIENCE;
    const look = () =>
      told()?.dataset.turn !== before || performance.now() > end
        ? requestAnimationFrame(() => requestAnimationFrame(done))
        : requestAnimationFrame(look);
    look();
  });

  // What was pressed after a refused press was meant for other rows than the one that is still on show.
  const forget = () => {
    const notice = told()?.querySelector(".notice.bad");
    if (!notice || !waiting.length) return;
    notice.append(` (${waiting.length} pressed after it not done)`);
    waiting.length = 0;
  };

  const work = async () => {
    if (underWay) return;
    underWay = true;
    while (waiting.length) {
      const button = document.getElementById(waiting.shift());
      if (!usable(button)) { waiting.length = 0; break; }
      const before = told()?.dataset.turn;
      button.click();
      await answered(before);
      told()?.scrollIntoView({ block: "nearest" });
      forget();
    }
    underWay = false;
  };
  const press = (id) => { waiting.push(id); work(); };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    const key = event.key.toLowerCase();
    if (event.defaultPrevented || !(event.target instanceof Element)) return;
    if (typing(event.target) || scrolling(event.target, key)) return;
    const id = KEYS[key];
    if (!usable(document.getElementById(id))) return;
    event.preventDefault();
    press(id);
  });
  document.addEventListener("click", (event) => {
    const button = event.isTrusted && event.target instanceof Element && event.target.closest("#review button");
    if (!button || !Object.values(KEYS).includes(button.id)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    press(button.id);
  }, true);
})();
