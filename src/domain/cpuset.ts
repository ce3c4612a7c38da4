/**
 * The numbers of a cpuset as libvirt reads it (virBitmapParse()): "0-3,^2,7".
 * @returns undefined where libvirt would refuse the text
 */
export function parseCpuset(text: string): ReadonlySet<number> | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^[ \t\r\n]*(\^?)(\d{1,4})(?:-(\d{1,4}))?[ \t\r\n]*$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[2]);
    const last = match[3] === undefined ? first : Number(match[3]);
    if (last < first || (match[1] === '^' && last !== first)) return undefined;
    for (let number = first; number <= last; number++)
      if (match[1] === '^') numbers.delete(number);
      else numbers.add(number);
  }
  return numbers;
}
