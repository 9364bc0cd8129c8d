// Review by keyboard: a key presses its button while that button can be seen and nobody is typing.
(() => {
  const KEYS = {
    k: "review-keep", r: "review-relabel", d: "review-drop", u: "review-again",
    arrowleft: "review-previous", arrowup: "review-previous", arrowright: "review-next", arrowdown: "review-next",
  };
  const TICKED = ["checkbox", "radio", "button", "submit"];

  const typing = (target) =>
    target.isContentEditable || target.matches("textarea, select") ||
    (target.matches("input") && !TICKED.includes(target.type));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    if (!(event.target instanceof Element) || typing(event.target)) return;
    const button = document.getElementById(KEYS[event.key.toLowerCase()]);
    if (!button || button.disabled || button.offsetParent === null) return;
    event.preventDefault();
    button.click();
  });
})();
