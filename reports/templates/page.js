"use strict";
/* Draws the figures of the page from the specifications and tables inlined in it; asks nothing of any network.
   Text from a trace reaches the page by textContent only. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const datasets = read("datasets");
  const specs = read("specs");
  const { config, variables } = read("theme");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const state = { drawn: 0, total: Object.keys(specs).length, errors: [] };
  window.burstlens = state;

  const rows = (name) => {
    const columns = datasets[name];
    const keys = Object.keys(columns);
    const count = keys.length ? columns[keys[0]].length : 0;
    return Array.from({ length: count }, (_, i) => Object.fromEntries(keys.map((k) => [k, columns[k][i]])));
  };
  /* A figure's entry as its reader has chosen it: data, title and file name of that state. */
  const chosen = new Map();
  const current = (id) => {
    const entry = specs[id];
    const state = chosen.get(id);
    if (!state) return entry;
    const name = state.options.join("-").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    return { ...entry, data: state.data, title: state.title, file: `${entry.file}-${name}` };
  };
  const clone = (value) => JSON.parse(JSON.stringify(value));

  /* Light colours become CSS variables, so that a drawn chart follows the theme and the printer. */
  const themed = (value) => {
    if (typeof value === "string") return variables[value] ?? value;
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v)]));
    }
    return value;
  };

  /* The drawn panels of a specification: those whose width is theirs to set. */
  const leaves = (spec) => {
    if (spec.spec) return leaves(spec.spec);
    if (spec.vconcat) return spec.vconcat.flatMap(leaves);
    return [spec];
  };
  const fit = (spec, panelsAcross, width) => {
    const visit = (s) => {
      if (s.facet && s.spec) s.columns = panelsAcross;
      if (s.spec) visit(s.spec);
      if (s.vconcat) s.vconcat.forEach(visit);
    };
    visit(spec);
    leaves(spec).forEach((leaf) => { leaf.width = Math.max(120, Math.floor(width)); });
  };
  const withoutZoom = (spec) => {
    const visit = (s) => {
      if (!s || typeof s !== "object") return;
      if (Array.isArray(s.params)) s.params = s.params.filter((p) => p.bind !== "scales");
      Object.values(s).forEach(visit);
    };
    visit(spec);
  };

  /* One tooltip for all charts. */
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  const tooltip = (_, event, __, value) => {
    if (value === null || value === undefined || value === "") { tip.hidden = true; return; }
    tip.replaceChildren();
    if (typeof value === "object") {
      const table = document.createElement("table");
      for (const [key, shown] of Object.entries(value)) {
        const line = table.insertRow();
        line.insertCell().textContent = key;
        line.insertCell().textContent = String(shown);
      }
      tip.append(table);
    } else tip.textContent = String(value);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const x = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const y = event.clientY + 16 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 16;
    tip.style.left = `${Math.max(4, x)}px`;
    tip.style.top = `${Math.max(4, y)}px`;
  };

  const logger = () => {
    const log = { level: () => log, error: (...m) => { state.errors.push(m.join(" ")); console.error(...m); return log; },
                  warn: () => log, info: () => log, debug: () => log };
    return log;
  };
  const embed = (holder, spec, options) =>
    vegaEmbed(holder, spec, { mode: "vega-lite", actions: false, defaultStyle: false, logger: logger(), ...options });

  const views = new Map();
  const overhead = new Map();

  /* As many panels side by side as there is room for, but no row that is not full. */
  const columns = (entry, room) => {
    const facet = entry.spec.facet ?? entry.spec.vconcat?.[0]?.facet;
    const panels = facet?.sort?.length ?? 1;
    const most = Math.max(1, Math.min(entry.columns, Math.floor(room / entry.panel)));
    for (let n = most; n > 1; n -= 1) if (panels % n === 0) return n;
    return panels > 4 ? most : 1;
  };

  async function draw(id) {
    const holder = document.getElementById(id).querySelector(".chart");
    const entry = current(id);
    const room = holder.clientWidth;
    const across = columns(entry, room);
    const make = async (width) => {
      const spec = themed(clone(entry.spec));
      if (coarse) withoutZoom(spec);
      fit(spec, across, width);
      spec.config = themed({ ...clone(config), legend: { ...config.legend, columns: Math.max(1, Math.floor(room / 170)),
        labelLimit: Math.min(260, room - 60),
        gradientLength: Math.min(220, room - 130), titleLimit: room - 60 } });
      spec.datasets = { data: rows(entry.data) };
      views.get(id)?.finalize();
      views.set(id, await embed(holder, spec, { renderer: "svg", tooltip }));
      // Its own width: on the page it is held to the room there is.
      return holder.querySelector("svg")?.width.baseVal.value ?? 0;
    };
    const key = `${id}/${across}`;
    let width = (room - (overhead.get(key) ?? 56 * across)) / across;
    let taken = await make(width);
    if (Math.abs(room - taken) > 3 && taken > 0) {
      overhead.set(key, taken - across * Math.floor(width));
      width = (room - overhead.get(key)) / across;
      taken = await make(width);
    }
    holder.dataset.drawn = "yes";
  }

  /* Near figures first, then the rest while the reader reads. */
  const queue = Object.keys(specs);
  let working = false;
  const nearest = () => {
    const gone = (id) => {
      const box = document.getElementById(id).getBoundingClientRect();
      return box.bottom < 0 ? -box.bottom : Math.max(0, box.top - innerHeight);
    };
    return queue.reduce((best, id) => (gone(id) < gone(best) ? id : best), queue[0]);
  };
  async function work() {
    working = true;
    while (queue.length) {
      const id = nearest();
      queue.splice(queue.indexOf(id), 1);
      try { await draw(id); } catch (fault) {
        state.errors.push(`${id}: ${fault.message}`);
        console.error(id, fault);
        document.getElementById(id).querySelector(".chart").textContent = "This figure could not be drawn here; its image file is in figures/.";
      }
      state.drawn += 1;
      await new Promise((go) => setTimeout(go, 0));
    }
    working = false;
    document.documentElement.dataset.drawn = "all";
  }
  /* The last figure is still being drawn when the queue is empty: then too one worker goes on. */
  const redraw = (ids) => {
    for (const id of ids) if (!queue.includes(id)) queue.push(id);
    if (!working) work();
  };

  let seen = document.documentElement.clientWidth;
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (document.documentElement.clientWidth === seen) return;
      seen = document.documentElement.clientWidth;
      redraw(Object.keys(specs));
    }, 200);
  });

  /* Downloads: made here, from what the page holds. */
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const cell = (v) => {
    if (v === null || v === undefined) return "";
    const text = String(v);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (name) => {
    const columns = datasets[name];
    const keys = Object.keys(columns);
    return [keys.map(cell).join(","), ...rows(name).map((r) => keys.map((k) => cell(r[k])).join(","))].join("\n") + "\n";
  };
  async function still(id) {
    const entry = current(id);
    const spec = clone(entry.spec);
    spec.title = entry.title;
    spec.config = clone(config);
    spec.datasets = { data: rows(entry.data) };
    return (await embed(document.createElement("div"), spec, { renderer: "canvas" })).view;
  }
  const makers = {
    svg: async (id) => new Blob([await (await still(id)).toSVG()], { type: "image/svg+xml" }),
    png: async (id) => {
      const canvas = await (await still(id)).toCanvas(2);
      return new Promise((done) => canvas.toBlob(done, "image/png"));
    },
    csv: async (id) => new Blob([csv(current(id).data)], { type: "text/csv" }),
  };
  state.make = makers;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-save]");
    if (!button) return;
    const { figure, save: kind } = button.dataset;
    save(await makers[kind](figure), `${current(figure).file}.${kind}`);
  });

  /* Figures whose reader chooses what they show. Options that lead nowhere with the others cannot be chosen. */
  const switchTo = (box, moved) => {
    const id = box.dataset.controls;
    const { states } = specs[id];
    const inputs = [...box.querySelectorAll("[data-place]")];
    const places = [...new Set(inputs.map((i) => Number(i.dataset.place)))];
    const value = (place) => {
      const own = inputs.filter((i) => Number(i.dataset.place) === place);
      return (own.length > 1 || own[0].type === "radio" ? own.find((i) => i.checked) : own[0]).value;
    };
    const wanted = places.map(value);
    /* What was moved stays; of the rest as much as can be, what stands first before what stands later. */
    const score = (s) => places.reduce((sum, p) => sum * 2 + (s.options[p] === wanted[p] ? 1 : 0), 0);
    const able = states.filter((s) => moved === undefined || s.options[moved] === wanted[moved]);
    const best = able.reduce((one, other) => (score(other) > score(one) ? other : one), able[0]);
    for (const input of inputs) {
      const place = Number(input.dataset.place);
      if (input.type === "radio") input.checked = input.value === best.options[place];
      else {
        input.value = best.options[place];
        for (const option of input.options) {
          option.disabled = !states.some((s) => s.options[place] === option.value
            && places.every((p) => p >= place || s.options[p] === best.options[p]));
        }
      }
    }
    if (chosen.get(id) === best) return;
    chosen.set(id, best);
    const figure = document.getElementById(id);
    figure.querySelector("[data-sentence]").textContent = best.sentence;
    figure.querySelector("[data-alt]").textContent = best.alt;
    figure.querySelector(".chart").setAttribute("aria-label", best.alt);
    specs[id].spec.description = best.alt;
    const numbers = figure.querySelector("details[data-numbers]");
    for (const old of numbers.querySelectorAll(".scroll, .fine")) old.remove();
    if (numbers.open) tabulate(numbers);
    redraw([id]);
  };
  for (const box of document.querySelectorAll("[data-controls]")) {
    box.addEventListener("change", (event) => switchTo(box, Number(event.target.dataset.place)));
  }

  /* Text to take along: copied, or selected where the clipboard is not to be had. */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch { getSelection().selectAllChildren(text); }
  });

  /* The numbers of a figure as a table, made when opened. */
  const SHOWN = 200;
  const tabulate = (box) => {
    const { data } = current(box.dataset.numbers);
    const keys = Object.keys(datasets[data]);
    const all = rows(data);
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const key of keys) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = key;
      if (typeof all.find((r) => r[key] !== null)?.[key] === "number") th.className = "num";
      head.append(th);
    }
    const body = table.createTBody();
    for (const r of all.slice(0, SHOWN)) {
      const line = body.insertRow();
      for (const key of keys) {
        const td = line.insertCell();
        td.textContent = r[key] === null ? "–" : typeof r[key] === "number" ? r[key].toLocaleString("en", { maximumSignificantDigits: 6 }) : String(r[key]);
        if (typeof r[key] === "number") td.className = "num";
      }
    }
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.append(table);
    box.append(scroll);
    if (all.length > SHOWN) {
      const rest = document.createElement("p");
      rest.className = "fine";
      rest.textContent = `First ${SHOWN} of ${all.length.toLocaleString("en")} rows; the CSV has all of them.`;
      box.append(rest);
    }
  };
  document.addEventListener("toggle", (event) => {
    const box = event.target;
    if (box.open && box.dataset?.numbers && !box.querySelector("table")) tabulate(box);
  }, true);

  /* Theme: the system's, until the reader chooses. */
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const remember = (value) => { try { localStorage.setItem("burstlens-theme", value); } catch { /* private window */ } };
  const recall = () => { try { return localStorage.getItem("burstlens-theme"); } catch { return null; } };
  const choose = (value) => {
    root.dataset.theme = value;
    for (const b of document.querySelectorAll("[data-theme-choice]")) b.setAttribute("aria-pressed", String(b.dataset.themeChoice === value));
  };
  choose(themes.includes(recall()) ? recall() : "auto");
  for (const b of document.querySelectorAll("[data-theme-choice]")) {
    b.addEventListener("click", () => { choose(b.dataset.themeChoice); remember(b.dataset.themeChoice); });
  }

  /* The glossary is folded; a link to it opens it. */
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href="#words"]')) document.querySelector("#words details").open = true;
  });

  /* The ledger, by verdict. */
  for (const chooser of document.querySelectorAll(".verdicts")) {
    chooser.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const only = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.verdict;
      for (const b of chooser.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b.dataset.verdict === only));
      for (const row of chooser.parentElement.querySelectorAll("[data-claim]")) row.hidden = only !== null && row.dataset.claim !== only;
    });
  }

  /* Where the reader is, in the table of contents. */
  const links = new Map([...document.querySelectorAll("nav.contents a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const a of links.values()) a.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  for (const id of links.keys()) { const part = document.getElementById(id); if (part) watch.observe(part); }

  /* A browser may bring back what was chosen before the page was loaded again. */
  for (const box of document.querySelectorAll("[data-controls]")) switchTo(box);
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("details.methods")) d.open = true; });
  redraw([]);
})();
