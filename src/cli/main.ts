/**
 * V8's own settings for programs that live long; NODE_OPTIONS refuses them. V8's compilers run before the command line is
 * read, so this comes first, and what it needs is loaded after it.
 */
const V8_FLAGS: Readonly<Record<string, readonly string[]>> = {
  // They do little: code of the optimizing compilers never pays there for the 2 to 10 MiB that their runs bring into
  // memory. A heap that is optimized for size grows in small steps and is collected the sooner.
  agent: ['--optimize-for-size', '--no-opt'],
  hook: ['--no-opt', '--no-maglev'],
  // It gets hot within seconds, and TurboFan's code is as fast without the compiler before it, which takes 10 MiB more on
  // Node 24.
  webhook: ['--no-maglev'],
};
// node:v8 is not imported: all other commands do without it, 5 ms.
for (const flag of V8_FLAGS[process.argv[2] ?? ''] ?? [])
  process.getBuiltinModule('node:v8').setFlagsFromString(flag);

const [{ processIo }, { runProgram }, { programName }] = await Promise.all([
  import('./process-io.js'),
  import('./program.js'),
  import('./program-name.js'),
]);

process.exitCode = await runProgram(process.argv.slice(2), processIo(), programName(process.argv[1]));
