// Charts of what ListHistory answers. They are drawn by uPlot, which is a script before this one.
import {call} from './rpc.js';
import {element, size} from './page.js';

const mostLines = 8;
const drawn = new Map(); // by the element that holds a chart

function colors() {
  const style = getComputedStyle(document.documentElement);
  const of = name => style.getPropertyValue(name).trim();
  return {text: of('--dim'), grid: of('--line'), lines: Array.from({length: mostLines}, (_, i) => of(`--chart-${i}`))};
}

const seconds = time => Date.parse(time) / 1000;

/** past leaves out what is dated in the future: the clock was wrong then, or is wrong now. */
const past = (all, field) => all.filter(a => seconds(a[field]) <= Date.now() / 1000 + 60);

// What stands where a chart without points would be, as the server says it.
const nothing = {
  runs: 'No points yet: the first comes with the first run.',
  sizes: 'No points yet: the first comes within ten minutes, while the table is open.',
};

/** say puts a sentence in the place of a chart. */
function say(holder, text) {
  drawn.get(holder)?.destroy();
  drawn.delete(holder);
  holder.replaceChildren(element('p', {class: 'none'}, text));
}

/** sizes are the lines of a chart of tables: those that are largest now. */
function sizes(history, field, only) {
  const tables = (history.tables || []).filter(t => !only || t.table === only)
    .map(t => ({table: t.table, points: past(t.points || [], 'time')})).filter(t => t.points.length);
  const last = t => Number(t.points.at(-1)?.[field] || 0);
  return tables.sort((a, b) => last(b) - last(a)).slice(0, mostLines).map(t => ({
    label: t.table, xs: t.points.map(p => seconds(p.time)), ys: t.points.map(p => Number(p[field] || 0)),
  }));
}

function runs(history) {
  const all = past((history.runs || []).filter(r => r.started && r.finished), 'finished').sort((a, b) => seconds(a.finished) - seconds(b.finished));
  return all.length ? [{label: 'seconds', xs: all.map(r => seconds(r.finished)), ys: all.map(r => Math.max(0, seconds(r.finished) - seconds(r.started)))}] : [];
}

const day = 86400;

// Each is for ticks that far apart: the tick, then what stands below it where a year, a month or a day begins.
const times = [
  [365 * day, '{YYYY}', null, null, null, null, null, null, 1],
  [28 * day, '{YYYY}-{MM}', null, null, null, null, null, null, 1],
  [day, '{MM}-{DD}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
];

// Runs that follow one another within seconds are not drawn further apart than that.
const leastRange = 600;

const formats = {
  count: v => v.toLocaleString('en'),
  diskBytes: size,
  runs: v => v < 60 ? `${+v.toFixed(2)} s` : `${+(v / 60).toFixed(1)} min`,
};

function draw(holder, lines) {
  if (!lines.length) {
    say(holder, nothing[holder.dataset.chart] || nothing.sizes);
    return;
  }
  drawn.get(holder)?.destroy();
  drawn.delete(holder);
  holder.replaceChildren();
  const {text, grid, lines: strokes} = colors();
  const format = formats[holder.dataset.chart];
  const axis = {stroke: text, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1}, font: '12px system-ui, sans-serif'};
  const data = lines.length === 1 ? [lines[0].xs, lines[0].ys] : uPlot.join(lines.map(l => [l.xs, l.ys]));
  const one = data[0].length === 1;
  drawn.set(holder, new uPlot({
    width: holder.clientWidth, height: 180, legend: {live: false, show: lines.length > 1},
    cursor: {drag: {x: true, y: false}}, scales: {x: {range: (_, low, high) => one ? [low - leastRange / 2, low + leastRange / 2] : high - low < leastRange ? [(low + high - leastRange) / 2, (low + high + leastRange) / 2] : [low, high]}, y: {range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1]}},
    axes: [{...axis, values: times}, {...axis, size: 76, ...(holder.dataset.chart === 'diskBytes' ? {incrs: Array.from({length: 50}, (_, i) => 2 ** i)} : {}), values: (_, ticks) => ticks.map(format)}],
    series: [{}, ...lines.map((line, i) => ({label: line.label, stroke: strokes[i], width: 2, spanGaps: true, points: {show: one || holder.dataset.chart === 'runs'}}))],
  }, data, holder));
}

/** charts draws all charts of the page. */
export async function charts() {
  const holders = [...document.querySelectorAll('[data-chart]')];
  if (!holders.length) return;
  const table = holders[0].dataset.table;
  let history;
  try {
    history = await call('ListHistory', table ? {tables: [table]} : {});
  } catch (error) {
    for (const holder of holders) {
      if (!drawn.has(holder)) say(holder, `The history cannot be read: ${error.message}`);
    }
    throw error;
  }
  for (const holder of holders) {
    const {chart} = holder.dataset;
    draw(holder, chart === 'runs' ? runs(history) : sizes(history, chart, table));
  }
}

const sizesOf = new ResizeObserver(entries => {
  for (const {target} of entries) drawn.get(target)?.setSize({width: target.clientWidth, height: 180});
});
for (const holder of document.querySelectorAll('[data-chart]')) sizesOf.observe(holder);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts());
