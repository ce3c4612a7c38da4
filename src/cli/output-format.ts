/** Apart from what renders them: the command line's declarations need no YAML. */
export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];
/** `wide` is the table with more columns. */
export type TableFormat = OutputFormat | 'wide';
