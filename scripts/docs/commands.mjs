// The program's commands as plain data (src/cli/command-model.ts), without the code that runs them.
import { build } from 'esbuild';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @returns {Promise<{ program: any, all: any[] }>} the program, and every command of it in the order of declaration */
export async function loadCommands() {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        export { createProgram } from './src/cli/program.ts';
        export { allCommands, commandModel } from './src/cli/command-model.ts';`,
      resolveDir: process.cwd(),
    },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    external: ['./commands/*'],
    define: {
      'process.env["VSMMU_VERSION"]': '"VERSION"',
      'process.env.VSMMU_VERSION': '"VERSION"',
    },
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  const dir = await mkdtemp(join(tmpdir(), 'vsmmu-docs-'));
  try {
    const file = join(dir, 'commands.mjs');
    await writeFile(file, outputFiles[0].contents);
    const { createProgram, allCommands, commandModel } = await import(pathToFileURL(file).href);
    const silent = { write: () => true };
    const program = commandModel(createProgram({ stdout: silent, stderr: silent }, () => undefined));
    return { program, all: allCommands(program) };
  } finally {
    await rm(dir, { recursive: true });
  }
}
