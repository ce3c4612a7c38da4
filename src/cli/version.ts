/** Set by the bundler from package.json; running from source has none. */
export const version: string = process.env['VSMMU_VERSION'] ?? '0.0.0-source';
