/** What a schema of zod found wrong; every build of zod has this shape. */
interface SchemaError {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}

/** The first fault of an input: its path ("devices.0.bdf", "" for the input itself), and what is wrong there. */
export function firstIssue({ issues }: SchemaError): { readonly path: string; readonly message: string } {
  const [issue] = issues;
  return { path: issue?.path.map(String).join('.') ?? '', message: issue?.message ?? 'malformed' };
}
