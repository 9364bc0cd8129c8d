// Of several questions about one place only the newest is answered, in whatever order the answers come.
(() => {
  const ask = window.fetch;
  const newest = new Map();

  // Events that may overtake each other (`Page.on`), by their number; the last output is the notice that they share.
  const eventOf = (options) => {
    if (typeof options?.body !== "string" || !options.body.includes('"fn_index"')) return undefined;
    const number = JSON.parse(options.body).fn_index;
    return window.gradio_config?.dependencies.find((known) => known.id === number && known.trigger_mode === "multiple");
  };
  // To Gradio it is an answer that changes nothing.
  const nothing = (event) => {
    const data = event.outputs.map(() => ({ __type__: "update" }));
    return new Response(JSON.stringify({ data, is_generating: false }), { headers: { "Content-Type": "application/json" } });
  };

  const overtakable = async (event, address, options) => {
    const place = event.outputs.at(-1), mine = new AbortController();
    newest.get(place)?.abort();
    newest.set(place, mine);
    try {
      const answer = await ask(address, { ...options, signal: mine.signal });
      const read = new Response(await answer.blob(), answer);
      return mine.signal.aborted ? nothing(event) : read;
    } catch (error) {
      if (mine.signal.aborted) return nothing(event);
      throw error;
    }
  };
  window.fetch = async (address, options) => {
    const event = eventOf(options);
    const answer = await (event ? overtakable(event, address, options) : ask(address, options));
    // Where the log-in has ended, nothing on the page is answered any more.
    if (answer.status === 401) document.documentElement.classList.add("logged-out");
    return answer;
  };
})();
