// docs/benchmarks.md and its plots, from the kept figures. Pure: figures in, text out.

/**
 * @typedef {{ what: string, unit: string, median: number, min: number, max: number, ratio?: string, other?: boolean }} Row
 *   other: a peer's or a floor's figure, not vsmmu's
 */
/** @typedef {{ name: string, title: string, machine: string, load: string, seconds: number, rows: Row[], notRun: { what: string, why: string }[] }} Result */

/** @param {readonly Result[]} results @returns {string} */
export function renderPage(results) {
  return [
    '# Benchmarks',
    '',
    '`npm run bench` measures all of this, `npm run bench -- NAME` one section. Both sides of a ratio were measured in one',
    'run, in turn; a figure is the median of its rounds with the smallest and the largest beside it. Trust the ratios: the',
    'machine was shared, and its load is named. A plot shows the same figures on a logarithmic scale: a dot for the median,',
    'a line from the smallest to the largest.',
    '',
    ...results.map(section),
  ].join('\n');
}

function section({ name, title, machine, load, seconds, rows, notRun }) {
  return [
    `## ${name}`,
    '',
    `${capital(title)}.`,
    '',
    `${machine}; load average at the start ${load}; ${seconds} s.`,
    '',
    `![${name}: the figures of the table below as a plot](benchmarks/${name}.svg)`,
    '',
    '| what | median | min | max | ratio |',
    '|---|---|---|---|---|',
    ...rows.map(
      ({ what, unit, median, min, max, ratio = '' }) =>
        `| ${cell(what)} | ${median} ${unit} | ${min} | ${max} | ${cell(ratio)} |`,
    ),
    ...notRun.map(({ what, why }) => `\nNot run: ${what}: ${why}`),
    '',
  ].join('\n');
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const cell = (text) => text.replaceAll('|', '\\|');

const [WIDTH, LEFT, RIGHT, LINE, HEAD] = [860, 430, 90, 18, 34];

/** Dots with whiskers, a panel for each unit. @param {Result} result @returns {string} SVG */
export function plot({ title, rows }) {
  const panels = byUnit(rows);
  let y = 8;
  const drawn = panels.map(([unit, own]) => {
    const panel = drawPanel(unit, own, y);
    y += HEAD + own.length * LINE + 10;
    return panel;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img" font-family="sans-serif" font-size="11">`,
    `<title>${text(title)}</title>`,
    // Readable on a light and on a dark page alike.
    '<style>text{fill:#6b7280}.grid{stroke:#6b7280;stroke-opacity:.3}.own{fill:#2563eb;stroke:#2563eb}.other{fill:#d97706;stroke:#d97706}.unit{font-weight:bold}</style>',
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

function byUnit(rows) {
  const units = [...new Set(rows.map(({ unit }) => unit))];
  return units.map((unit) => [unit, rows.filter((row) => row.unit === unit)]);
}

function drawPanel(unit, rows, top) {
  const positive = rows.flatMap(({ min, median, max }) => [min, median, max]).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, 1e9)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 1e-9))));
  const x = (value) => {
    const at = value > 0 ? Math.log10(value) : low;
    return LEFT + ((WIDTH - LEFT - RIGHT) * (at - low)) / (high - low);
  };
  const bottom = top + HEAD + rows.length * LINE;
  const decades = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return [
    `<text class="unit" x="8" y="${top + 16}">${text(unit)}</text>`,
    ...decades.map(
      (value) =>
        `<path class="grid" d="M${fixed(x(value))} ${top + 22}V${bottom}"/><text x="${fixed(x(value))}" y="${top + 16}" text-anchor="middle">${Number(value.toPrecision(3))}</text>`,
    ),
    ...rows.map((row, index) => drawRow(row, top + HEAD + index * LINE, x)),
  ].join('\n');
}

function drawRow({ what, median, min, max, other = false }, y, x) {
  const kind = other ? 'other' : 'own';
  const label = what.length > 72 ? `${what.slice(0, 71)}…` : what;
  return [
    `<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${text(label)}</text>`,
    `<path class="${kind}" d="M${fixed(x(min))} ${y}H${fixed(x(max))}"/>`,
    `<circle class="${kind}" cx="${fixed(x(median))}" cy="${y}" r="3.5"/>`,
    `<text x="${WIDTH - RIGHT + 12}" y="${y + 4}">${median}</text>`,
  ].join('');
}

const fixed = (value) => value.toFixed(1);
const text = (value) => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
