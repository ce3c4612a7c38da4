// JSON schema of the chart's values, from their defaults and comments. Draft 7: Helm before 3.18 knows no later one.

/** @param {import('./values.mjs').ValueDoc[]} values */
export function schemaOf(values) {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart vsmmu',
    ...closedObject(values),
  };
}

function closedObject(values, open = false) {
  return {
    type: 'object',
    additionalProperties: open,
    properties: Object.fromEntries(values.map((value) => [value.path.at(-1), propertyOf(value)])),
  };
}

function propertyOf(doc) {
  const { description, tags, children } = doc;
  if (children !== undefined) return { description, ...closedObject(children, 'open' in tags) };
  const rest = 'default' in tags ? {} : { default: doc.value };
  return { description, ...typeOf(doc), ...rest };
}

function typeOf({ path, tags, value }) {
  const name = path.join('.');
  if ('enum' in tags) return { type: 'string', enum: tags.enum.split('|') };
  if ('map' in tags) return mapOf(tags.map, name);
  if (Array.isArray(value)) return { type: 'array', items: itemsOf(tags, value, name) };
  if ('type' in tags) {
    const types = tags.type.split('|');
    return { type: types.length === 1 ? types[0] : types, ...bounds(tags) };
  }
  if (typeof value === 'string')
    return { type: 'string', ...('pattern' in tags ? { pattern: tags.pattern } : {}) };
  if (typeof value === 'boolean') return { type: 'boolean' };
  if (Number.isInteger(value)) return { type: 'integer', ...bounds(tags) };
  throw new Error(`values.yaml: the type of ${name} cannot be told; add an @ line`);
}

function mapOf(kind, name) {
  if (kind === 'string') return { type: 'object', additionalProperties: { type: 'string' } };
  if (kind === 'any') return { type: 'object' };
  throw new Error(`values.yaml: ${name}: @map is string or any`);
}

function itemsOf({ items, pattern }, value, name) {
  const type = items ?? typeof value[0];
  if (type === 'string' && pattern !== undefined) return { type, pattern };
  if (type === 'string' || type === 'object') return { type };
  if (type === 'integer') return { type: 'integer' };
  if (type === 'object|string') return { type: ['object', 'string'] };
  throw new Error(`values.yaml: ${name} is an empty list; add @items`);
}

function bounds({ min, max }) {
  return {
    ...(min === undefined ? {} : { minimum: Number(min) }),
    ...(max === undefined ? {} : { maximum: Number(max) }),
  };
}
