/** Probes the host under a root in a process of its own, where the shim is preloaded; the report goes to stdout. */
import { stat } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { openLiveHost, type LiveHostOptions } from '../../src/host/live-host.js';
import { probeHost, type ProbeOptions } from '../../src/host/probe.js';

const {
  patienceMs,
  handedOut = [],
  ...options
} = JSON.parse(process.argv[2] ?? '{}') as LiveHostOptions &
  ProbeOptions & { readonly handedOut?: readonly number[] };
const source = openLiveHost({ ...options, isHandedOut: (group) => handedOut.includes(group) });
const ticks = { count: 0 };
const timer = setInterval(() => {
  ticks.count += 1;
}, 5);
/** Other file operations of the process, which share libuv's few threads. */
const operations = { count: 0, go: true };
const operating = (async () => {
  while (operations.go) {
    await stat('/');
    operations.count += 1;
    await pause(20);
  }
})();
const report = await probeHost(source, { patienceMs });
clearInterval(timer);
operations.go = false;
const files = operations.count;
await operating;
await source.close();
process.stdout.write(JSON.stringify({ report, ticks: ticks.count, files }));
