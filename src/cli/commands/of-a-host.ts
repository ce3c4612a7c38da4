/**
 * Commands about one host and what runs on it, loaded together: each file that Node loads takes 1 ms, and what these
 * share would lie in thirty (docs/decisions/0011-how-the-command-line-starts.md).
 */
export { runCheck } from './check.js';
export { runDoctor } from './doctor.js';
export { runMap } from './map.js';
export { runProbe } from './probe.js';
export { runQemuArgs } from './qemu-args.js';
export { runResolveHost } from './resolve-host.js';
export { runRewrite } from './rewrite.js';
