/** Tests of a file stand beside it in src/; whole-program tests stand in test/. Real-component tests (test/real) have their own runner. */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/src/**/*.test.ts', '<rootDir>/test/*.test.ts'],
  modulePathIgnorePatterns: ['<rootDir>/.cache/'], // older versions are built there
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2023', parser: { syntax: 'typescript' } } }],
  },
  setupFiles: ['<rootDir>/test/fast-check-seed.ts'],
  testTimeout: 30_000,
};
