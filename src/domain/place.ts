/** "grace.xml:12:3", line and column from 1, columns in UTF-16 code units as editors count them. */
export function placeOf(source: string, text: string, offset: number): string {
  const { line, column } = lineAndColumn(text, offset);
  return `${source}:${line}:${column}`;
}

export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (;;) {
    const newline = text.indexOf('\n', lineStart);
    if (newline === -1 || newline >= offset) return { line, column: offset - lineStart + 1 };
    line++;
    lineStart = newline + 1;
  }
}
