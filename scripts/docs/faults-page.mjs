// docs/faults.md from docs/faults.json and what the tests last said (docs/faults-results.json, npm run faults).

/**
 * @param {{ fault: string, then: string, tests: [string, string][] }[]} rows
 * @param {{ results: Record<string, { outcome: string, at: string }> }} last
 * @returns {string}
 */
export function faultsPage(rows, { results }) {
  return [
    '# Faults and the tests of them',
    '',
    'Generated from `docs/faults.json`. Each fault that may befall vsmmu, what it does then, and the automated tests that hold it',
    'to that, with their last result. `real:NAME` is a suite of `npm run test:real -- NAME` against the real component; the',
    'others run with `npm test`, which also fails where a test named here is gone. `npm run faults` takes the results down.',
    '',
    ...rows.flatMap(({ fault, then, tests }) => [
      `## ${fault}`,
      `${then.charAt(0).toUpperCase()}${then.slice(1)}.`,
      '',
      '| test | last result |',
      '|---|---|',
      ...tests.map(
        ([place, name]) =>
          `| ${cell(`\`${place}\`: ${name}`)} | ${resultOf(results[`${place} > ${name}`])} |`,
      ),
      '',
    ]),
  ].join('\n');
}

function resultOf(result) {
  return result === undefined ? 'not run yet' : `${result.outcome}, ${result.at}`;
}

function cell(text) {
  return text.replaceAll('|', '\\|');
}
