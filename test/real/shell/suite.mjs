import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';

const zsh = 'zsh completes commands, options and choices';
const fish = 'fish completes commands, options and choices';
const manual = 'man shows the manual page without a warning';

export const suite = {
  name: 'shell',
  needs: 'zsh, fish and man-db from Debian',
  timeoutMinutes: 4,
  checks: [zsh, fish, manual],
  async run(ctx) {
    await ctx.apt.install('zsh', 'fish', 'man-db', 'groff-base');
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-shell-'));
    try {
      for (const shell of ['zsh', 'fish']) {
        const { stdout } = await ctx.run(process.execPath, [ctx.vsmmu, 'completion', shell]);
        await writeFile(join(folder, shell === 'zsh' ? '_vsmmu' : 'vsmmu.fish'), stdout);
      }
      await ctx.check(zsh, () => checkZsh(ctx, folder));
      await ctx.check(fish, () => checkFish(ctx, folder));
      await ctx.check(manual, async () => {
        const page = join(ctx.root, 'docs', 'man', 'vsmmu.1');
        const { stdout, stderr } = await ctx.run('man', ['--warnings', '--local-file', page], {
          env: { MANWIDTH: '100', LC_ALL: 'C.UTF-8' },
        });
        assert.equal(stderr, '');
        assert.match(stdout, /vsmmu probe/);
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

const CASES = [
  ['vsmmu pro', 'probe'],
  ['vsmmu probe --al', '--all'],
  ['vsmmu probe --output js', 'json'],
  ['vsmmu explain v', 'vmi'],
  ['vsmmu completion --he', '--help'],
];

/** fish tells its completions itself: complete -C. */
async function checkFish(ctx, folder) {
  for (const [line, expected] of CASES) {
    const script = `source ${join(folder, 'vsmmu.fish')}; complete -C '${line}'`;
    const { stdout, stderr } = await ctx.run('fish', ['--no-config', '-c', script], {
      env: { HOME: folder },
    });
    assert.equal(stderr, '', line);
    // Every command has --help, which fish needs not be told to complete.
    if (expected !== '--help') assert.match(stdout, new RegExp(`^${expected}\\b`, 'm'), `${line}: ${stdout}`);
  }
}

/** zsh completes in its line editor only, so it runs in a pseudo-terminal, and what it writes there is read. */
async function checkZsh(ctx, folder) {
  const setup = [
    'PROMPT= RPROMPT=',
    `fpath=(${folder} $fpath)`,
    `autoload -U compinit && compinit -u -d ${folder}/dump`,
    "bindkey '^I' complete-word '^U' kill-whole-line",
    'echo REA""DY',
  ];
  const child = ctx.start('script', ['--quiet', '--echo=never', '--command', 'zsh -f -i', '/dev/null'], {
    env: { ...process.env, HOME: folder, TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let seen = '';
  child.stdout.on('data', (chunk) => (seen += chunk));
  child.stdin.write(`${setup.join('\n')}\n`);
  await eventually('zsh is ready', () => seen.includes('READY'));
  for (const [line, expected] of CASES) {
    const from = seen.length;
    child.stdin.write(`${line}\t`);
    const rest = expected.slice(line.slice(line.lastIndexOf(' ') + 1).length);
    await eventually(`${line} is completed`, () => plain(seen.slice(from)).includes(line + rest), 10);
    child.stdin.write('\x15');
  }
  ctx.end(child);
}

/** Without the sequences that move the cursor. */
function plain(text) {
  return text.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, '');
}
