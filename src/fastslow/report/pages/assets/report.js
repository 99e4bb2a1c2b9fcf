"use strict";
// Draws the curves of a report. Names come from files that models wrote: they are only ever put into the page as text,
// and into plotly, which reads some markup and %{templates} in text, with both made inert.
(() => {
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const MARKS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down"];
  const COLOURS = 7;
  const root = document.documentElement;
  const comparisons = JSON.parse(document.getElementById("report-data").textContent);

  const inert = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%(?=\{)/g, "%\u200b");

  // A custom property may hold light-dark(): only a used colour is resolved.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name, alpha = 1) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g);
    return `rgba(${r},${g},${b},${alpha})`;
  };

  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { button.textContent = isDark() ? "Switch to light" : "Switch to dark"; };
  const button = document.getElementById("theme");

  class Comparison {
    constructor(article, data) {
      this.data = data;
      this.article = article;
      this.form = article.querySelector(".controls");
      this.hidden = new Set();
      this.figures = [...article.querySelectorAll("[data-chart]")];
      if (!this.form) return;
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("change", () => this.draw());
      this.form.querySelector("[data-action=reset]").addEventListener("click", () => this.draw(true));
      for (const toggle of article.querySelectorAll("[data-arm]")) {
        toggle.addEventListener("click", () => {
          const arm = Number(toggle.dataset.arm), shown = this.hidden.delete(arm);
          if (!shown) this.hidden.add(arm);
          for (const same of article.querySelectorAll(`[data-arm="${arm}"]`)) same.setAttribute("aria-pressed", String(shown));
          this.draw();
        });
      }
    }

    chosen() {
      const at = Number(this.form.elements.task?.value || 0);
      return {
        axis: this.form.elements.axis.value,
        context: this.form.elements.context?.value ?? "shipped",
        task: at ? this.data.tasks[at - 1] : "",
        seeds: this.form.elements.seeds.checked,
      };
    }

    draw(reset = false) {
      if (!this.form) return;
      const chosen = this.chosen();
      for (const figure of this.figures) {
        const chart = this.data.charts.find((one) => one.key === figure.dataset.chart);
        const traces = chart.key === "matched" ? this.matched(chosen) : this.lines(chart, chosen);
        const plot = figure.querySelector(".plot");
        figure.querySelector(".empty").hidden = plot.hidden = false;
        figure.querySelector(".empty").hidden = traces.length > 0;
        plot.hidden = traces.length === 0;
        if (!traces.length) continue;
        // uirevision keeps a reader's zoom while only colours or arms change.
        const revision = reset ? Math.random() : `${chosen.axis} ${chosen.context} ${chosen.task}`;
        Plotly.react(plot, traces, this.layout(chart, chosen, traces, revision), { displayModeBar: false, responsive: true, doubleClick: "reset" });
      }
    }

    series(key, { context, task }) {
      return this.data.series.filter((one) =>
        one.chart === key && !this.hidden.has(one.arm) && (one.context === undefined || (one.context === context && one.task === task)));
    }

    style(arm) {
      const at = this.data.arms[arm].style;
      return { colour: `c${at % COLOURS}`, dash: DASHES[at % DASHES.length], mark: MARKS[at % MARKS.length] };
    }

    lines(chart, chosen) {
      const traces = [];
      for (const one of this.series(chart.key, chosen)) {
        const x = one.x[chosen.axis];
        if (!x) continue;
        const { colour: c, dash, mark } = this.style(one.arm);
        const name = inert(this.data.arms[one.arm].name);
        if (one.low && !chosen.seeds) {
          traces.push({ x, y: one.low, mode: "lines", line: { width: 0 }, hoverinfo: "skip" });
          traces.push({ x, y: one.high, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: colour(c, 0.16), hoverinfo: "skip" });
        }
        if (chosen.seeds) {
          for (const run of one.runs) {
            traces.push({ x: run.x[chosen.axis], y: run.y, mode: "lines", line: { width: 1, dash, color: colour(c, 0.55) }, hovertemplate: `${inert(run.name)}<br>%{y:.3~g}<extra></extra>` });
          }
        }
        const few = x.length <= 30;
        traces.push({
          x, y: one.y, cliponaxis: false, mode: few ? "lines+markers" : "lines", line: { width: 2.25, dash, color: colour(c) },
          marker: { symbol: mark, size: 7, color: colour(c) },
          customdata: one.y.map((_, i) => one.low ? `${one.low[i].toPrecision(3)} to ${one.high[i].toPrecision(3)} over seeds` : "one seed"),
          hovertemplate: `<b>${name}</b><br>%{y:.3~g} at %{x:,.0f}<br>%{customdata}<extra></extra>`,
        });
      }
      return traces;
    }

    matched(chosen) {
      const traces = [], accuracies = this.series("accuracy", chosen);
      for (const one of this.series("kl", chosen)) {
        const other = accuracies.find((each) => each.arm === one.arm);
        if (!other) continue;
        const { colour: c, dash, mark } = this.style(one.arm);
        // Both have the points at which all seeds were measured: steps pair them, and where a step was measured twice,
        // first with first and second with second.
        const key = (step, i, steps) => `${step} ${i - steps.indexOf(step)}`;
        const at = new Map(other.step.map((step, i) => [key(step, i, other.step), other.y[i]]));
        const points = one.step.map((step, i) => [at.get(key(step, i, one.step)), one.y[i], step]).filter(([x]) => x !== undefined);
        traces.push({
          x: points.map((p) => p[0]), y: points.map((p) => p[1]), customdata: points.map((p) => p[2]), mode: "lines+markers", cliponaxis: false,
          line: { width: 2.25, dash, color: colour(c) }, marker: { symbol: mark, size: 7, color: colour(c) },
          hovertemplate: `<b>${inert(this.data.arms[one.arm].name)}</b><br>KL %{y:.3~g} at ${this.data.measure} %{x:.3~g}<br>step %{customdata}<extra></extra>`,
        });
      }
      return traces;
    }

    // Plain numbers: SI prefixes, which make 500m of a half, are for amounts that would not fit otherwise.
    ticks(chart, chosen, traces) {
      if (chart.x === "accuracy") return { tickformat: ".2~f" };
      const most = Math.max(0, ...traces.flatMap((one) => one.x));
      if (chosen.axis === "steps" && most <= 8) return { tickformat: ",~f", dtick: 1 };
      return { tickformat: most < 1e4 || chosen.axis === "steps" ? ",~f" : "~s" };
    }

    layout(chart, chosen, traces, revision) {
      const dim = colour("dim"), line = colour("line"), text = colour("text");
      const axis = { gridcolor: line, zeroline: false, automargin: true, tickfont: { color: dim, size: 12 }, linecolor: line, fixedrange: matchMedia("(pointer: coarse)").matches };
      const title = { text: chart.x === "accuracy" ? this.data.measure : this.data.axes[chosen.axis], font: { color: dim, size: 12 }, standoff: 8 };
      return {
        showlegend: false, uirevision: revision, hovermode: "closest", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        margin: { l: 44, r: 12, t: 10, b: 40 }, font: { family: getComputedStyle(document.body).fontFamily, color: text },
        hoverlabel: { bgcolor: colour("bg"), bordercolor: line, font: { color: text, size: 13 }, align: "left" },
        xaxis: { ...axis, title, showgrid: false, ticks: "outside", tickcolor: line, rangemode: "tozero", nticks: 8, ...this.ticks(chart, chosen, traces) },
        yaxis: { ...axis, rangemode: "tozero", nticks: 6, tickformat: chart.share ? ".2~f" : "~g" },
      };
    }
  }

  const articles = [...document.querySelectorAll("article")].map((article, i) => new Comparison(article, comparisons[i]));
  const drawAll = () => articles.forEach((one) => one.draw());
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); drawAll(); });
  // Paper is white.
  let before;
  addEventListener("beforeprint", () => { before = root.dataset.theme; root.dataset.theme = "light"; drawAll(); });
  addEventListener("afterprint", () => { if (before) root.dataset.theme = before; else delete root.dataset.theme; drawAll(); });
  nameTheme();
  drawAll();
  root.dataset.ready = "true";
  root.dataset.height = String(Math.ceil(document.body.scrollHeight));
})();
