// The chart's alerts as Prometheus itself evaluates them: promtool of Debian's package, unpacked beside the machine.
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { packagedHelm } from '../helm/helm-program.mjs';
import { AptRoot } from '../lib/apt-root.mjs';

const valid = 'promtool takes the rules';
const fire = 'each alert fires when it should, after its time, and at nothing else';

export const suite = {
  name: 'alerts',
  needs: 'promtool of Debian’s package prometheus; Helm 3.10 from npm',
  timeoutMinutes: 4,
  checks: [valid, fire],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-alerts-'));
    try {
      const promtool = await promtoolIn(folder, ctx);
      const groups = await rulesOf(ctx);
      await writeFile(join(folder, 'rules.yaml'), stringify({ groups }));
      await ctx.check(valid, () => ctx.run(promtool, ['check', 'rules', join(folder, 'rules.yaml')]));
      const tests = join(folder, 'alerts.test.yaml');
      await copyFile(join(ctx.root, 'test', 'real', 'alerts', 'alerts.test.yaml'), tests);
      await ctx.check(fire, () => ctx.run(promtool, ['test', 'rules', tests]));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** The groups of the PrometheusRule, with all parts installed. */
async function rulesOf(ctx) {
  const { stdout } = await ctx.run(packagedHelm(ctx), [
    ...['template', 'vsmmu', join(ctx.root, 'charts', 'vsmmu'), '--namespace', 'vsmmu'],
    ...['--kube-version', '1.36.0', '--api-versions', 'monitoring.coreos.com/v1'],
    ...['--set', 'monitoring.prometheusRule.enabled=true'],
    ...['--show-only', 'templates/monitoring/prometheus-rule.yaml'],
  ]);
  const { kind, spec } = parse(stdout);
  assert.equal(kind, 'PrometheusRule');
  return spec.groups;
}

/** Unpacked and never installed: the package would start a server. @returns {Promise<string>} its path */
async function promtoolIn(folder, ctx) {
  const { stdout } = await ctx.run('dpkg', ['--print-architecture']);
  const archive = await AptRoot.open(ctx, { suite: 'bookworm', architecture: stdout.trim() });
  await ctx.run('dpkg', ['--extract', await archive.download('prometheus'), folder]);
  return join(folder, 'usr', 'bin', 'promtool');
}
