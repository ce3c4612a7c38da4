/**
 * The parameters of a kernel command line as they stand in it, in order. Double quotes keep spaces together, around a
 * value or a whole parameter (next_arg(), lib/cmdline.c).
 */
export function kernelParameters(line: string): string[] {
  return line.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
}
