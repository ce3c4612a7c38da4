// The program's commands as plain data (src/cli/command-model.ts), without the code that runs them.
import { loadText } from './load.mjs';

/** @returns {Promise<{ program: any, all: any[] }>} the program, and every command of it in the order of declaration */
export async function loadCommands() {
  const { createProgram, allCommands, commandModel } = await loadText(
    `export { createProgram } from './src/cli/program.ts';
    export { allCommands, commandModel } from './src/cli/command-model.ts';`,
    {
      external: ['./commands/*'],
      define: { 'process.env["VSMMU_VERSION"]': '"VERSION"', 'process.env.VSMMU_VERSION': '"VERSION"' },
    },
  );
  const silent = { write: () => true };
  const program = commandModel(createProgram({ stdout: silent, stderr: silent }, () => undefined));
  return { program, all: allCommands(program) };
}
