/** A word of a shell command and where it is written. */
export interface ShellWord {
  /** What the program would be given. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
  /** How all of it is quoted; "mixed" where parts differ. */
  readonly quoting: 'none' | 'single' | 'double' | 'mixed';
}

export type ShellWords =
  | { readonly ok: true; readonly words: readonly ShellWord[] }
  /** Offset of the quote that nothing closes. */
  | { readonly ok: false; readonly unclosed: number };

// One alternative a kind of piece; what none of them takes is an unclosed quote. A shell's blanks are fewer than those of \s:
// a no-break space is part of a word.
const PIECE = /\\\n|\\([\s\S])|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|([^ \t\r\n'"\\]+)|([ \t\r\n]+)/y;

/**
 * Splits a POSIX shell command into words: quotes, backslashes, continued lines, comments. Variables, globs and redirections
 * are text here; nothing is run.
 */
export function splitShellWords(text: string): ShellWords {
  const words: ShellWord[] = [];
  let open: { value: string; start: number; kinds: Set<ShellWord['quoting']> } | undefined;
  let at = 0;
  const close = (end: number) => {
    if (open === undefined) return;
    const [only, another] = open.kinds;
    const quoting = another === undefined && only !== undefined ? only : 'mixed';
    words.push({ value: open.value, start: open.start, end, quoting });
    open = undefined;
  };
  while (at < text.length) {
    if (open === undefined && text[at] === '#') {
      const newline = text.indexOf('\n', at);
      at = newline === -1 ? text.length : newline;
      continue;
    }
    PIECE.lastIndex = at;
    const match = PIECE.exec(text);
    if (match === null) return { ok: false, unclosed: at };
    const [written, escaped, single, double, plain, space] = match;
    const [value, kind] = pieceOf(escaped, single, double, plain);
    if (space !== undefined) close(at);
    else if (kind !== undefined) {
      open ??= { value: '', start: at, kinds: new Set() };
      open.value += value;
      open.kinds.add(kind);
    }
    at += written.length;
  }
  close(at);
  return { ok: true, words };
}

function pieceOf(
  escaped: string | undefined,
  single: string | undefined,
  double: string | undefined,
  plain: string | undefined,
): readonly [value: string, kind: ShellWord['quoting'] | undefined] {
  if (plain !== undefined) return [plain, 'none'];
  if (single !== undefined) return [single, 'single'];
  if (double !== undefined) return [double.replace(/\\\n/g, '').replace(/\\([$`"\\])/g, '$1'), 'double'];
  return escaped === undefined ? ['', undefined] : [escaped, 'mixed'];
}

/** A value as a word, quoted as the old word was where that is possible. */
export function quoteShellWord(value: string, quoting: ShellWord['quoting']): string {
  if (quoting === 'double' && !/[$`\\!]/.test(value)) return `"${value.replaceAll('"', '\\"')}"`;
  if (quoting === 'none' && /^[\w@%+=:,./-]+$/.test(value)) return value;
  return `'${value.replaceAll("'", "'\\''")}'`;
}
