"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function axis(own) {
    return Object.assign({ gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--soft"),
      automargin: true, ticks: "outside", tickcolor: colour("--line") }, own);
  }
  function draw(figure) {
    const all = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const picker = figure.querySelector("select");
    const chosen = all[picker ? Number(picker.value) : 0];
    const layout = Object.assign({ height: 340, margin: { l: 60, r: 16, t: 12, b: 48 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      showlegend: chosen.data.filter((trace) => trace.showlegend !== false).length > 0 }, chosen.layout);
    for (const own of [layout.xaxis, layout.yaxis]) if (own.title) own.title.font = { size: 13 };
    layout.xaxis = axis(layout.xaxis);
    layout.yaxis = axis(layout.yaxis);
    Plotly.react(figure.querySelector(".plot"), chosen.data, layout,
      { responsive: true, displayModeBar: false });
  }
  const figures = Array.from(document.querySelectorAll("figure"));
  const drawAll = () => figures.forEach(draw);

  for (const figure of figures) {
    const picker = figure.querySelector("select");
    if (picker) picker.addEventListener("change", () => draw(figure));
  }
  drawAll();
  dark.addEventListener("change", drawAll);

  const openTarget = () => {
    const target = location.hash.startsWith("#task-") && document.getElementById(location.hash.slice(1));
    if (target) target.open = true;
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

  const button = document.getElementById("download");
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = document.getElementById("comparison").textContent;
    const data = JSON.stringify(JSON.parse(text), null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data], { type: "application/json" }));
    link.download = "comparison-" + JSON.parse(text).run_id + ".json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
