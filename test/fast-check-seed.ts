import fc from 'fast-check';

// One seed, so that a run of the tests says something about the change under test and nothing about luck. Other seeds are
// searched on purpose: VSMMU_SEED=random, or the number that a failure printed.
const asked = process.env['VSMMU_SEED'] ?? '20261125';
if (asked !== 'random') fc.configureGlobal({ seed: Number(asked) });
