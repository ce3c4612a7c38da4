// Which of many inputs together reach all code that any of them reaches; by libFuzzer's merge control file
// (compiler-rt, lib/fuzzer/FuzzerMerge.h): how many files, how many of them in the first folder, their names; then
// "STARTED number size" and "FT number feature..." as each was run.

/** @param {readonly string[]} files */
export function controlFile(files) {
  return `${files.length}\n0\n${files.join('\n')}\n`;
}

/**
 * Greedily the one that adds most for its size, until none adds anything.
 * @param {string} control the file after the run @param {readonly string[]} files
 * @returns {string[]} the files to keep
 */
export function keptInputs(control, files) {
  const inputs = files.map((file) => ({ file, size: 1, features: [] }));
  for (const line of control.split('\n')) {
    const [kind, number, ...rest] = line.split(' ');
    const input = inputs[Number(number)];
    if (input === undefined) continue;
    if (kind === 'STARTED') input.size = Number(rest[0]) + 1;
    if (kind === 'FT') input.features = rest;
  }
  const reached = new Set();
  const kept = [];
  for (;;) {
    let best;
    let bestWorth = 0;
    for (const { file, size, features } of inputs) {
      const fresh = features.reduce((count, feature) => count + (reached.has(feature) ? 0 : 1), 0);
      // The square root: a few short inputs before one of every length.
      const worth = fresh / Math.sqrt(size);
      if (worth > bestWorth) [best, bestWorth] = [{ file, features }, worth];
    }
    if (best === undefined) return kept;
    for (const feature of best.features) reached.add(feature);
    kept.push(best.file);
  }
}
