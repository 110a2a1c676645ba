"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NS = "http://www.w3.org/2000/svg";
  const make = (name, attrs, parent, text) => {
    const el = document.createElementNS(NS, name);
    for (const key in attrs) el.setAttribute(key, attrs[key]);
    if (text !== undefined) el.textContent = text;
    parent.appendChild(el);
    return el;
  };
  const minus = (text) => text.replace("-", "−");
  const fixed = (value, digits) =>
    minus(value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const formats = {
    money: (v) => fixed(v, Math.abs(v) < 100 ? 2 : 0),
    percent: (v) => fixed(v * 100, v && Math.abs(v) < 0.1 ? 1 : 0) + " %",
    number: (v) => fixed(v, 2),
    price: (v) => fixed(v, Math.abs(v) < 1 ? 5 : Math.abs(v) < 100 ? 3 : Math.abs(v) < 10000 ? 2 : 0),
  };
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const pad = (n) => String(n).padStart(2, "0");
  const day = (ms) => { const d = new Date(ms); return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`; };
  const moment = (ms) => { const d = new Date(ms); return `${day(ms)} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`; };

  const nice = (low, high, count) => {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
    return found;
  };
  const logTicks = (low, high) => {
    const found = [];
    for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
      for (const m of [1, 2, 5]) { const v = m * 10 ** p; if (v >= low && v <= high) found.push(v); }
    return found.length > 1 ? found : nice(low, high, 4);
  };
  const times = (low, high, count) => {
    const DAY = 864e5, span = high - low, found = [];
    if (span > 60 * DAY) {
      const every = Math.max(1, Math.ceil(span / (30.4 * DAY) / count)), step = [1, 2, 3, 6, 12, 24, 60, 120].find((s) => s >= every) || 240;
      const d = new Date(low);
      for (let m = d.getUTCFullYear() * 12 + d.getUTCMonth() + 1; ; m++) {
        const at = Date.UTC(Math.floor(m / 12), m % 12, 1);
        if (at > high) break;
        if (m % step === 0) found.push([at, m % 12 === 0 ? String(Math.floor(m / 12)) : MONTHS[m % 12]]);
      }
      return found;
    }
    const step = [6e4, 3e5, 9e5, 36e5, 108e5, 216e5, 432e5, DAY, 2 * DAY, 7 * DAY, 14 * DAY].find((s) => span / s <= count) || 30 * DAY;
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
      const d = new Date(at);
      found.push([at, step < DAY && at % DAY ? `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}` : `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`]);
    }
    return found;
  };

  const draw = (box, spec) => {
    const w = box.clientWidth, h = box.clientHeight - 12, P = { l: 12, r: 66, t: 8, b: spec.x === false ? 6 : 22 };
    if (w < 50) return;
    box.querySelector("svg")?.remove();
    const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": box.getAttribute("aria-label") || "chart" }, box);
    const xs = spec.xs, format = formats[spec.format] || formats.number;
    let low = Infinity, high = -Infinity;
    for (const s of spec.series) for (const v of s.values) if (v !== null) { if (v < low) low = v; if (v > high) high = v; }
    if (!(low <= high) || !xs.length) { make("text", { x: w / 2, y: h / 2, "text-anchor": "middle" }, svg, "nothing to show"); return; }
    const log = spec.log && low > 0;
    if (spec.zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
    if (low === high) { low -= Math.abs(low) * 0.01 || 1; high += Math.abs(high) * 0.01 || 1; }
    const scale = log ? Math.log : (v) => v, a = scale(low), b = scale(high), room = (b - a) * (spec.zero && high === 0 ? 0 : 0.05);
    const y = (v) => P.t + (1 - (scale(v) - a + room) / (b - a + 2 * room)) * (h - P.t - P.b);
    const x0 = xs[0], x1 = xs[xs.length - 1], x = (t) => P.l + (x1 > x0 ? (t - x0) / (x1 - x0) : 0.5) * (w - P.l - P.r);
    for (const v of log ? logTicks(low, high) : nice(low, high, Math.max(2, Math.round(h / 55)))) {
      const at = y(v);
      if (at < P.t - 1 || at > h - P.b + 1) continue;
      make("line", { x1: P.l, x2: w - P.r, y1: at, y2: at, class: v === 0 ? "zero" : "grid" }, svg);
      make("text", { x: w - P.r + 7, y: at + 4 }, svg, format(v));
    }
    if (spec.x !== false) for (const [t, text] of times(x0, x1, Math.max(2, Math.floor((w - 80) / 70)))) {
      const at = x(t);
      if (at > P.l + 12 && at < w - P.r - 4) make("text", { x: at, y: h - 5, "text-anchor": "middle" }, svg, text);
    }
    for (const s of spec.series) {
      let path = "", open = false;
      s.values.forEach((v, i) => { if (v === null) { open = false; return; } path += `${open ? "L" : "M"}${x(xs[i]).toFixed(1)} ${y(v).toFixed(1)}`; open = true; });
      if (s.fill) {
        const base = spec.zero ? y(0) : h - P.b;
        make("path", { d: `${path}L${x(x1).toFixed(1)} ${base}L${x(x0).toFixed(1)} ${base}Z`, class: `area ${s.look || ""}` }, svg);
      }
      make("path", { d: path, class: `line ${s.look || ""}` }, svg);
    }
    for (const m of spec.marks || []) {
      const at = x(m[0]), v = y(m[1]), up = m[2] > 0, s = 4.5, d = up ? 1 : -1;
      if (at < P.l - 1 || at > w - P.r + 1) continue;
      const tip = v + d * 4, foot = tip + d * s * 1.7;
      make("path", { d: `M${at.toFixed(1)} ${tip.toFixed(1)}l${s} ${(foot - tip).toFixed(1)}h${-2 * s}Z`, class: `mark ${up ? "up" : "down"}` }, svg);
    }
    hover(box, svg, spec, { x, y, xs, w, h, P, format });
  };

  const hover = (box, svg, spec, at) => {
    let tip = box.querySelector(".tip");
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; box.appendChild(tip); }
    const cross = make("line", { y1: at.P.t, y2: at.h - at.P.b, class: "cross", visibility: "hidden" }, svg);
    const hide = () => { cross.setAttribute("visibility", "hidden"); tip.style.display = "none"; };
    svg.onpointermove = (event) => {
      const px = event.clientX - svg.getBoundingClientRect().left, xs = at.xs;
      let low = 0, high = xs.length - 1;
      while (high - low > 1) { const mid = (low + high) >> 1; if (at.x(xs[mid]) < px) low = mid; else high = mid; }
      const i = px - at.x(xs[low]) < at.x(xs[high]) - px ? low : high, place = at.x(xs[i]);
      cross.setAttribute("x1", place); cross.setAttribute("x2", place); cross.setAttribute("visibility", "visible");
      tip.replaceChildren(spec.moments ? moment(xs[i]) : day(xs[i]));
      for (const s of spec.series) if (s.values[i] !== null && s.values[i] !== undefined) {
        const line = document.createElement("div"), value = document.createElement("b");
        value.textContent = at.format(s.values[i]);
        line.append(`${s.label} `, value);
        tip.append(line);
      }
      tip.style.display = "block";
      const left = place + 12 + tip.offsetWidth > at.w ? place - 12 - tip.offsetWidth : place + 12;
      tip.style.left = `${Math.max(0, left)}px`; tip.style.top = "14px";
    };
    svg.onpointerleave = hide;
  };

  const bars = (box, spec) => {
    const w = box.clientWidth, h = box.clientHeight - 12, P = { l: 12, r: 12, t: 18, b: 22 }, most = Math.max(...spec.counts, 1);
    if (w < 50) return;
    box.querySelector("svg")?.remove();
    const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": box.getAttribute("aria-label") || "chart" }, box);
    const each = (w - P.l - P.r) / spec.counts.length;
    spec.counts.forEach((count, i) => {
      const tall = (count / most) * (h - P.t - P.b), left = P.l + i * each;
      make("rect", { x: left + 1, y: h - P.b - tall, width: Math.max(1, each - 2), height: tall, rx: 1.5, class: `bar ${spec.edges[i] + spec.edges[i + 1] < 0 ? "down" : "up"}` }, svg);
      if (count && each > 15) make("text", { x: left + each / 2, y: h - P.b - tall - 4, "text-anchor": "middle" }, svg, String(count));
    });
    make("line", { x1: P.l, x2: w - P.r, y1: h - P.b, y2: h - P.b, class: "zero" }, svg);
    const skip = Math.ceil(spec.edges.length / Math.max(2, Math.floor(w / 75)));
    spec.edges.forEach((edge, i) => {
      if (i % skip === 0 && i * each < w - 50) make("text", { x: P.l + i * each, y: h - 6, "text-anchor": i ? "middle" : "start" }, svg, formats.percent(edge));
    });
  };

  const all = () => {
    for (const box of document.querySelectorAll(".chart")) {
      const spec = data[box.id];
      if (spec) (spec.counts ? bars : draw)(box, spec);
    }
  };
  for (const button of document.querySelectorAll("button[data-log]")) {
    button.addEventListener("click", () => {
      const spec = data[button.dataset.log];
      spec.log = !spec.log;
      button.setAttribute("aria-pressed", String(spec.log));
      draw(document.getElementById(button.dataset.log), spec);
    });
  }
  let due = 0;
  addEventListener("resize", () => { cancelAnimationFrame(due); due = requestAnimationFrame(all); });
  addEventListener("beforeprint", all);
  addEventListener("afterprint", all);
  all();
})();
