import type { TableFormat } from './output-format.js';
import { printable } from '../printable.js';

export type { OutputFormat, TableFormat } from './output-format.js';

export function isData(format: TableFormat): format is 'json' | 'yaml' {
  return format === 'json' || format === 'yaml';
}

/**
 * Machine-readable output, with a final newline. Key order is the object's own, so that two runs compare equal.
 * YAML's writer is loaded only where it is asked for: it takes 10 ms.
 */
export async function renderData(format: 'json' | 'yaml', data: unknown): Promise<string> {
  if (format === 'json') return `${JSON.stringify(data, null, 2)}\n`;
  const { renderYaml } = await import('./yaml-output.js');
  return renderYaml(data);
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
}

/** A table in the manner of kubectl: upper-case titles, columns two spaces apart, no trailing blanks. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => printable(column.cell(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => cells[index]?.length ?? 0)));
  return lines
    .map((cells) =>
      cells
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
