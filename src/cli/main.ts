// A hook answers a boot's two or three calls and is idle for the life of its VM. Code of V8's optimizing compilers would
// never pay there for the 2 to 4 MiB of Node's program that their first run brings into memory; they run before the
// command line is read, so this comes first, and what it needs is loaded after it.
if (process.argv[2] === 'hook') {
  // Not imported: all other commands do without it, 5 ms.
  const v8 = process.getBuiltinModule('node:v8');
  for (const flag of ['--no-opt', '--no-maglev']) v8.setFlagsFromString(flag);
}

const [{ processIo }, { runProgram }, { programName }] = await Promise.all([
  import('./process-io.js'),
  import('./program.js'),
  import('./program-name.js'),
]);

process.exitCode = await runProgram(process.argv.slice(2), processIo(), programName(process.argv[1]));
