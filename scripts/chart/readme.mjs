// The chart's README: scripts/chart/readme.template.md with the table of values put in.

/** @param {string} template @param {import('./values.mjs').ValueDoc[]} values */
export function readmeOf(template, values) {
  const marker = '<!-- values -->\n';
  if (!template.includes(marker)) throw new Error(`readme.template.md has no line ${marker.trim()}`);
  return template.replace(marker, () => tableOf(values));
}

function tableOf(values) {
  const rows = flatten(values).map(
    ({ path, description, tags, value }) =>
      `| \`${path.join('.')}\` | \`${cell(JSON.stringify(value))}\` | ${cell(description)}${choices(tags)} |`,
  );
  return ['| value | default | meaning |', '|---|---|---|', ...rows, ''].join('\n');
}

function flatten(values) {
  return values.flatMap((value) => (value.children === undefined ? [value] : flatten(value.children)));
}

function choices(tags) {
  if (!('enum' in tags)) return '';
  return ` One of ${tags.enum
    .split('|')
    .map((choice) => `\`${choice === '' ? '""' : choice}\``)
    .join(', ')}.`;
}

function cell(text) {
  return text.replaceAll('|', '\\|');
}
