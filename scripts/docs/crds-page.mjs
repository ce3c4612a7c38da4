// docs/crds.md from the chart's CustomResourceDefinitions.

/** @param {any[]} crds @returns {string} */
export function crdsPage(crds) {
  return [
    '# Objects in the API server',
    '',
    'Generated from `charts/vsmmu/files/crds`. `kubectl explain` tells the same, of what is installed.',
    '',
    ...crds.flatMap(sectionOf),
  ].join('\n');
}

function sectionOf({ spec: { group, scope, names, versions } }) {
  return versions.flatMap(({ name, schema: { openAPIV3Schema } }) => [
    `## ${names.kind}`,
    `\`${group}/${name}\`, ${scope === 'Cluster' ? 'cluster-wide' : 'in a namespace'}; \`kubectl get ${names.plural}\`${(names.shortNames ?? []).map((short) => `, \`${short}\``).join('')}.`,
    openAPIV3Schema.description ?? '',
    '',
    '| field | type | is |',
    '|---|---|---|',
    ...['spec', 'status'].flatMap((part) => rowsOf(openAPIV3Schema.properties[part], part, false)),
    '',
    ...rulesOf(openAPIV3Schema),
  ]);
}

/** Depth first, as the YAML would be written. */
function rowsOf(schema, path, required) {
  if (schema === undefined) return [];
  const below = schema.type === 'array' ? schema.items : schema;
  const at = schema.type === 'array' ? `${path}[]` : path;
  const children = Object.entries(below.properties ?? {}).flatMap(([name, child]) =>
    rowsOf(child, `${at}.${name}`, (below.required ?? []).includes(name)),
  );
  const words = [schema.description ?? '', required ? 'Required.' : ''].filter((text) => text !== '');
  return [`| \`${path}\` | ${typeOf(schema)} | ${cell(words.join(' '))} |`, ...children];
}

function typeOf(schema) {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema['x-kubernetes-int-or-string']) return 'integer or string';
  if (schema.type === 'array') return `list of ${typeOf(schema.items)}`;
  if (schema.type === 'object' && schema.additionalProperties) return 'map';
  const { minimum, maximum, format, type } = schema;
  if (minimum !== undefined && maximum !== undefined) return `${type}, ${minimum} to ${maximum}`;
  return format === 'date-time' ? 'time' : type;
}

/** What the API server checks beyond types. */
function rulesOf(schema) {
  const messages = [...new Set(messagesIn(schema))];
  if (messages.length === 0) return [];
  return [
    'The API server refuses, beside wrong types:',
    '',
    ...messages.map((message) => `- ${cell(message)}`),
    '',
  ];
}

function messagesIn(schema) {
  const here = (schema['x-kubernetes-validations'] ?? []).flatMap(({ message }) => message ?? []);
  const below = [...Object.values(schema.properties ?? {}), ...(schema.items ? [schema.items] : [])];
  return [...here, ...below.flatMap(messagesIn)];
}

function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ').trim();
}
