/**
 * Probes or rescans a generated host in a process of its own, for bench/probe.mjs and bench/scan.mjs; figures go to
 * stdout. "scan" is "probe" without looking for blocks of the event loop, which costs time itself.
 */
import { performance } from 'node:perf_hooks';
import { fingerprint } from '../src/host/fingerprint.js';
import { openLiveHost } from '../src/host/live-host.js';
import { probeHost } from '../src/host/probe.js';

const [mode = 'none', root = '', rounds = '1'] = process.argv.slice(2);
const source = openLiveHost({ root, bind: false });
let devices = 0;

/**
 * The longest time between two turns of the event loop, by the clock and by the CPU: on a busy machine the clock
 * also counts the time in which others ran.
 */
let last = performance.now();
let lastCpu = process.cpuUsage();
let blocked = 0;
let blockedCpu = 0;
const turn = () => {
  const [now, used] = [performance.now(), process.cpuUsage(lastCpu)];
  blocked = Math.max(blocked, now - last);
  blockedCpu = Math.max(blockedCpu, (used.user + used.system) / 1000);
  [last, lastCpu] = [now, process.cpuUsage()];
  if (ticking) setImmediate(turn);
};
let ticking = mode === 'probe';
if (ticking) setImmediate(turn);

const ms: number[] = [];
const cpu: number[] = [];
if (mode === 'rescan') fingerprint(source);
for (let round = 0; round < Number(rounds); round += 1) {
  [last, lastCpu] = [performance.now(), process.cpuUsage()];
  const [begun, used] = [performance.now(), process.cpuUsage()];
  if (mode === 'probe' || mode === 'scan') devices = (await probeHost(source)).devices.length;
  else if (mode === 'rescan') fingerprint(source);
  ms.push(performance.now() - begun);
  const { user, system } = process.cpuUsage(used);
  cpu.push((user + system) / 1000);
}
ticking = false;
process.stdout.write(
  JSON.stringify({ ms, cpu, blocked, blockedCpu, devices, rssMiB: process.resourceUsage().maxRSS / 1024 }),
);
