// A minute of what `npm run soak` does for half an hour: enough to see that its programs live through the churn, too short
// to judge memory by.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';

const MINUTE = 'a minute of churn: nothing fails, file descriptors and timers stay flat';
const JUDGED = ['file descriptors', 'timers', 'other handles'];

export const suite = {
  name: 'soak',
  needs: 'root, for hosts made up in mount namespaces',
  timeoutMinutes: 6,
  checks: [MINUTE],
  async run(ctx) {
    if (process.getuid() !== 0) throw new NotRun('needs root for hosts made up in mount namespaces');
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-soak-suite-'));
    try {
      await ctx.check(MINUTE, async () => {
        const file = join(folder, 'soak.json');
        const args = ['--minutes', '1', '--vsmmu', ctx.vsmmu, '--json', file];
        await ctx.run(process.execPath, [join(ctx.root, 'test/soak/run.mjs'), ...args], {
          check: false, // its verdict is of memory too
          cwd: ctx.root,
          timeoutSeconds: 290,
        });
        const { did, failures, exitStatuses, programs } = JSON.parse(await readFile(file, 'utf8'));
        ctx.log(
          `${did.reviews} reviews, ${did['domains defined']} domains, ${did['kubelet restarts']} kubelet restarts`,
        );
        assert.deepEqual(failures, []);
        assert.ok(
          exitStatuses.every((status) => status === 0),
          exitStatuses.join(', '),
        );
        for (const [name, { judged }] of Object.entries(programs))
          for (const { what, flat, early, late } of judged.filter((one) => JUDGED.includes(one.what)))
            assert.ok(flat, `${name}: ${what} ${early} -> ${late}`);
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
