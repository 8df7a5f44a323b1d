// What is wrong with a page as it is shown: too wide, clipped, or hard to read.
(({ scrolls }) => {
  const found = new Set();
  const name = (e) => `${e.tagName} ${(e.id || e.getAttribute("class") || "")} ${JSON.stringify(e.textContent.trim().slice(0, 40))}`;
  const width = document.documentElement.clientWidth;
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  if (document.documentElement.scrollWidth > width) found.add(`page ${document.documentElement.scrollWidth} > ${width}`);
  const shown = (e) => e.checkVisibility() && e.getClientRects().length;
  for (const e of document.body.querySelectorAll("*")) {
    if (!shown(e) || e.closest("defs")) continue;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const scroller = e.closest(".wide");
    if (scroller === e && e.scrollWidth > e.clientWidth + 1 && !(scrolls || e.matches(".data"))) found.add(`scrolls: ${name(e)}`);
    if (!scroller && box.right > width + 1) found.add(`wider than the page: ${name(e)}`);
    if (/hidden|clip/.test(style.overflowX) && !e.closest("svg") && e.scrollWidth > e.clientWidth + 1) found.add(`clipped: ${name(e)}`);
    if (e.tagName === "text") {
      const frame = e.closest("svg").getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        found.add(`outside its figure: ${name(e)}`);
    }
  }
  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = (c) => { const [r, g, b] = c.map((v) => { v = Math.min(Math.max(v, 0), 255) / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const turned = (c, filter) => {  // invert(i) hue-rotate(180deg)
    const i = filter.match(/invert\(([\d.]+)\)/);
    if (!i) return c;
    const [r, g, b] = c.slice(0, 3).map((v) => v * (1 - 2 * i[1]) + 255 * i[1]);
    return [-0.574 * r + 1.43 * g + 0.144 * b, 0.426 * r + 0.43 * g + 0.144 * b, 0.426 * r + 1.43 * g - 0.856 * b];
  };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.5) return c; } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(e) || /SCRIPT|STYLE|TITLE|OPTION/i.test(e.tagName)) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    if (svg && svg.closest("figure[aria-label=\"Tasks and λ\"]")) continue;  // on coloured cells
    let colour = parse(svg ? style.fill : style.color);
    if (svg) colour = turned(colour, getComputedStyle(svg).filter);
    const seen = ratio(colour, svg ? turned([255, 255, 255], getComputedStyle(svg).filter) : ground(e));
    if (seen < 4.5) found.add(`contrast ${seen.toFixed(2)}: ${name(e)}`);
  }
  return [...found];
})
