// Reads charts/vsmmu/values.yaml with its comments: one description of the chart's values for the schema and the README.
//
// The comment above a key describes it. Lines that begin with "@" say what its default cannot:
//   @enum a|b        one of these strings
//   @pattern REGEXP  a string that matches
//   @type string|integer
//   @min N, @max N   bounds of an integer
//   @items string    a list's items: string, object (a Kubernetes object: any fields) or object|string
//   @map string      an empty map's values: string or any (a Kubernetes object: any fields)
//   @open            a map that other charts may add to
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';

/**
 * @typedef {{ path: string[], description: string, tags: Record<string, string>, value: unknown, children?: ValueDoc[] }} ValueDoc
 */

/** @param {string} text @returns {ValueDoc[]} in the file's order @throws Error naming a key without a comment */
export function describeValues(text) {
  const document = parseDocument(text);
  if (document.errors.length > 0) throw document.errors[0];
  return describeMap(document.contents, []);
}

function describeMap(map, path) {
  return map.items.map((pair, index) => {
    const here = [...path, pair.key.value];
    // The yaml parser keeps the comment of a map's first key on the map itself.
    const comment = pair.key.commentBefore ?? (index === 0 ? map.commentBefore : undefined);
    const { description, tags } = parseComment(comment);
    if (description === '') throw new Error(`values.yaml: ${here.join('.')} has no comment`);
    const value = pair.value?.toJSON() ?? null;
    if (isMap(pair.value) && pair.value.items.length > 0 && !('map' in tags)) {
      return { path: here, description, tags, value, children: describeMap(pair.value, here) };
    }
    if (!isMap(pair.value) && !isSeq(pair.value) && !isScalar(pair.value)) {
      throw new Error(`values.yaml: ${here.join('.')} has no value`);
    }
    return { path: here, description, tags, value };
  });
}

/** Text of a comment: its last paragraph (a blank line ends what belongs to a section), and its @ lines. */
function parseComment(comment = '') {
  const paragraph = comment.split(/\n\s*\n/).at(-1);
  const lines = paragraph.split('\n').map((line) => line.trim());
  const tags = {};
  for (const line of lines.filter((one) => one.startsWith('@'))) {
    const [, name, value] = /^@(\w+)\s*(.*)$/.exec(line);
    tags[name] = value;
  }
  const description = lines.filter((one) => one !== '' && !one.startsWith('@')).join(' ');
  return { description, tags };
}
