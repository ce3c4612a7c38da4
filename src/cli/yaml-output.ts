import { stringify } from 'yaml';

/** Lines are as long as their texts. */
export function renderYaml(data: unknown): string {
  return stringify(data, { lineWidth: 0 });
}
