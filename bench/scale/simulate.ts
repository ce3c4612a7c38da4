// What a fleet does to the API server, etcd, the webhook and the controller; run.mjs bundles and starts this.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { agentDay, held, sizesOf } from './measure.js';
import { loadOf, renewals, watchesOf, type Fleet, type Load } from './model.js';
import { hostReport } from './objects.js';

const SMMUS = 4;
const SCAN_SECONDS = 30;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', multiple: true, default: ['1000', '5000'] },
    devices: { type: 'string', default: '64' },
    'vmis-per-node': { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});
const devices = number(values.devices);
const report = await hostReport(devices, Math.min(SMMUS, devices));
const sizes = sizesOf(report);
const day = await agentDay(report, SCAN_SECONDS);
print(
  `NodeProfile of ${devices} devices: ${kib(sizes.profile)}; ${sizes.slices} ResourceSlice of ${kib(sizes.slice)}`,
);
print(
  `One agent in a day without a change: ${day.renewals} renewals, ${day.requests} requests, ${day.writes} of them writes`,
);

const results: object[] = [];
for (const nodes of values.nodes.map(number)) {
  const fleet: Fleet = {
    nodes,
    devices,
    vmis: nodes * number(values['vmis-per-node']),
    startsPerSecond: 10,
    webhooks: 2,
    controllers: 2,
    dra: true,
  };
  const kept = held(report, nodes, fleet.vmis);
  const load = loadOf(fleet, sizes, day, kept);
  const calm = renewals(nodes, { spreadSeconds: 600, scanSeconds: SCAN_SECONDS, random: Math.random });
  const together = renewals(nodes, { spreadSeconds: 0, scanSeconds: SCAN_SECONDS, random: Math.random });
  show(fleet, load, calm, together, kept);
  results.push({
    fleet,
    sizes,
    day,
    held: kept,
    watches: watchesOf(fleet.dra),
    load,
    renewals: { calm, together },
  });
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`);

function show(
  { nodes, vmis, startsPerSecond }: Fleet,
  load: Load,
  calm: ReturnType<typeof renewals>,
  together: ReturnType<typeof renewals>,
  kept: ReturnType<typeof held>,
): void {
  print(
    `\n${nodes} nodes, ${nodes * devices} devices, ${vmis} VMIs, ${startsPerSecond} VMs started a second, 2 webhooks, 2 controllers, DRA`,
  );
  const rows: [string, string][] = [
    [
      'requests of agents',
      `${load.agentRequests.toFixed(1)} a second, ${load.agentWrites.toFixed(1)} of them writes`,
    ],
    [
      'renewals in one second',
      `mean ${calm.mean.toFixed(1)}, p99 ${calm.p99}, most ${calm.max}; all started at once: p99 ${together.p99}, most ${together.max}`,
    ],
    ['answers to agents', `${kib(load.answerBytesPerSecond)} a second`],
    ['watches', `${load.watches}`],
    ['sent to watchers', `${kib(load.watchBytesPerSecond)} a second`],
    ['etcd: objects', `${load.etcdObjectsMiB.toFixed(0)} MiB`],
    [
      'etcd: written',
      `${kib(load.etcdBytesPerSecond)} a second; history until compaction ${load.etcdHistoryMiB.toFixed(0)} MiB`,
    ],
    [
      'webhook: profiles in memory',
      `${load.webhookMiB.toFixed(0)} MiB; first list ${load.webhookListMiB.toFixed(0)} MiB`,
    ],
    [
      'webhook: following renewals',
      `${(100 * load.webhookFollowCpu).toFixed(1)} % of a CPU (${kept.profileMs.toFixed(2)} ms a profile)`,
    ],
    ['webhook: reviews', `${load.reviewsPerSecond} a second`],
    [
      'controller: fleet in memory',
      `${load.controllerMiB.toFixed(0)} MiB; first list ${load.controllerListMiB.toFixed(0)} MiB`,
    ],
    [
      'controller: one plan',
      `${kept.planMs.toFixed(0)} ms; first labels ${load.firstLabelsSeconds.toFixed(0)} s (${kept.firstActions} nodes)`,
    ],
  ];
  for (const [what, figure] of rows) print(`  ${what.padEnd(30)} ${figure}`);
}

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

function number(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  process.stderr.write(`simulate: "${text}" is no whole number above 0\n`);
  process.exit(2);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
