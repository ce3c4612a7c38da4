/** One `-device`, in either of QEMU's two notations. */
export interface DeviceOption {
  readonly driver: string;
  /** As QEMU takes them; JSON's true and false as "on" and "off". */
  readonly properties: ReadonlyMap<string, string>;
  /** The option with these properties set: present ones in their place, new ones behind. */
  with(values: readonly (readonly [name: string, value: string])[]): string;
}

/** @returns undefined for what is neither key=value nor a JSON object with a driver */
export function parseDeviceOption(text: string): DeviceOption | undefined {
  return text.trimStart().startsWith('{') ? parseJson(text) : parseKeyValue(text);
}

function parseKeyValue(text: string): DeviceOption | undefined {
  // QEMU writes a comma inside a value as two.
  const parts = text.replaceAll(',,', '\u0000').split(',');
  const pairs = parts.map((part, index): [string, string] => {
    const [name = '', ...value] = part.replaceAll('\u0000', ',').split('=');
    if (value.length > 0) return [name, value.join('=')];
    return index === 0 ? ['driver', name] : [name, 'on'];
  });
  const properties = new Map(pairs);
  const driver = properties.get('driver');
  if (driver === undefined || driver === '') return undefined;
  return {
    driver,
    properties,
    with(values) {
      const wanted = new Map(values);
      const written = parts.map((part, index) => {
        const name = pairs[index]?.[0] ?? '';
        const value = wanted.get(name);
        wanted.delete(name);
        return value === undefined ? part.replaceAll('\u0000', ',,') : `${name}=${doubleCommas(value)}`;
      });
      return [...written, ...[...wanted].map(([name, value]) => `${name}=${doubleCommas(value)}`)].join(',');
    },
  };
}

function doubleCommas(value: string): string {
  return value.replaceAll(',', ',,');
}

function parseJson(text: string): DeviceOption | undefined {
  const object = jsonObject(text);
  return object === undefined ? undefined : deviceOfObject(object);
}

/** A device that came as a JSON object. */
export function deviceOfObject(object: Readonly<Record<string, unknown>>): DeviceOption | undefined {
  const properties = new Map(Object.entries(object).map(([name, value]) => [name, textOf(value)]));
  const driver = object['driver'];
  if (typeof driver !== 'string') return undefined;
  return {
    driver,
    properties,
    // The properties that vsmmu sets are enums, which QEMU takes as JSON strings only.
    with: (values) => JSON.stringify({ ...object, ...Object.fromEntries(values) }),
  };
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
