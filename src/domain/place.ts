/** "grace.xml:12:3", line and column from 1, columns in UTF-16 code units as editors count them. */
export function placeOf(source: string, text: string, offset: number): string {
  const [{ line, column } = { line: 1, column: 1 }] = linesAndColumns(text, [offset]);
  return `${source}:${line}:${column}`;
}

/** Lines and columns of offsets in ascending order, in one pass over the text. */
export function linesAndColumns(
  text: string,
  offsets: readonly number[],
): readonly { readonly line: number; readonly column: number }[] {
  let line = 1;
  let lineStart = 0;
  let newline = text.indexOf('\n');
  return offsets.map((offset) => {
    while (newline !== -1 && newline < offset) {
      line++;
      lineStart = newline + 1;
      newline = text.indexOf('\n', lineStart);
    }
    return { line, column: offset - lineStart + 1 };
  });
}
