"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const graph = document.getElementById("graph");
  const nodes = [...graph.querySelectorAll(".node")];
  const edges = [...graph.querySelectorAll(".edge")];
  const detail = document.getElementById("detail");
  let pinned = null;  // what to return to

  const text = (tag, content, name) => {
    const element = document.createElement(tag);
    element.textContent = content;
    if (name) element.className = name;
    return element;
  };
  const size = (x) => x >= 1e5 || (x !== 0 && x < 1e-3)
    ? x.toExponential(2) : x.toPrecision(4);
  const number = (x) => (x < 0 ? "\u2212" : "") + size(Math.abs(x));
  const signed = (x) => (x < 0 ? "\u2212" : "+") + size(Math.abs(x));
  const percent = (x) => (100 * x).toFixed(x < 0.1 ? 2 : 1) + " %";
  const place = (n) => "@" + n.position + " " + n.token;

  const row = (table, label, value, name) => {
    const line = table.insertRow();
    line.append(text("td", label, name ? "" : "of"), text("td", value, name));
  };
  const neighbours = (title, list, other) => {
    if (list.length === 0) return;
    detail.append(text("h2", title + " (" + list.length + ")"));
    const table = document.createElement("table");
    list.sort((a, b) => Math.abs(data.edges[b][2]) - Math.abs(data.edges[a][2]));
    for (const e of list.slice(0, 8)) {
      const n = data.nodes[data.edges[e][other]];
      row(table, n.name + " " + place(n), signed(data.edges[e][2]),
        data.edges[e][2] < 0 ? "neg" : "pos");
    }
    detail.append(table);
  };
  const edgesOf = (i) => {
    const into = [], out = [];
    data.edges.forEach((edge, e) => {
      if (edge[1] === i) into.push(e);
      if (edge[0] === i) out.push(e);
    });
    return [into, out];
  };
  const describe = (i) => {
    const [into, out] = edgesOf(i);
    const n = data.nodes[i];
    detail.replaceChildren(text("div", n.full, "name"),
      text("div", place(n), "hint"));
    const table = document.createElement("table");
    row(table, "activation", number(n.activation));
    row(table, n.part === "logit" ? "probability" : "importance",
      n.part === "logit" ? percent(n.importance) : number(n.importance));
    row(table, "share of the target's input", percent(n.share));
    row(table, "total effect on the target", signed(n.effect),
      n.effect < 0 ? "neg" : "pos");
    detail.append(table);
    neighbours("Reads from", into, 0);
    neighbours("Writes into", out, 1);
  };
  const clear = () => {
    graph.classList.remove("focus");
    for (const e of graph.querySelectorAll(".lit, .chosen")) {
      e.classList.remove("lit", "chosen");
    }
    describe(data.target);
  };
  const light = (chosen, lit) => {
    graph.classList.add("focus");
    for (const i of chosen) nodes[i].classList.add("lit", "chosen");
    for (const e of lit) {
      edges[e].classList.add("lit");
      nodes[data.edges[e][0]].classList.add("lit");
      nodes[data.edges[e][1]].classList.add("lit");
    }
  };
  const show = (i) => {
    clear();
    light([i], edgesOf(i).flat());
    describe(i);
  };
  const follow = (path) => {
    clear();
    const lit = [];
    data.edges.forEach((edge, e) => {
      const at = path.indexOf(edge[0]);
      if (at >= 0 && path[at + 1] === edge[1]) lit.push(e);
    });
    light(path.filter((i) => i >= 0), lit);
  };
  const rest = () => {
    if (pinned === null) clear(); else pinned();
  };

  nodes.forEach((element, i) => {
    const choose = () => show(i);
    element.addEventListener("mouseenter", choose);
    element.addEventListener("focus", choose);
    element.addEventListener("mouseleave", rest);
    element.addEventListener("blur", rest);
    element.addEventListener("click", (event) => {
      pinned = choose;
      choose();
      event.stopPropagation();
    });
  });
  document.querySelectorAll("#paths li").forEach((item, i) => {
    const choose = () => follow(data.paths[i]);
    item.addEventListener("mouseenter", choose);
    item.addEventListener("focus", choose);
    item.addEventListener("mouseleave", rest);
    item.addEventListener("blur", rest);
    item.addEventListener("click", () => { pinned = choose; choose(); });
  });
  const release = () => { pinned = null; clear(); };
  graph.addEventListener("click", release);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });

  const slider = document.getElementById("shown");
  const limit = () => {
    const first = edges.length - Number(slider.value);
    edges.forEach((e, i) => e.classList.toggle("hidden", i < first));
    document.getElementById("count").textContent =
      Number(slider.value).toLocaleString("en");
  };
  slider.addEventListener("input", limit);
  limit();
  clear();
})();
