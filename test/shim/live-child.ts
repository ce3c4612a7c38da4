/** Probes the host under a root in a process of its own, where the shim is preloaded; the report goes to stdout. */
import { openLiveHost, type LiveHostOptions } from '../../src/host/live-host.js';
import { probeHost } from '../../src/host/probe.js';

const options = JSON.parse(process.argv[2] ?? '{}') as LiveHostOptions;
const source = openLiveHost(options);
const ticks = { count: 0 };
const timer = setInterval(() => (ticks.count += 1), 5);
const report = await probeHost(source);
clearInterval(timer);
await source.close();
process.stdout.write(JSON.stringify({ report, ticks: ticks.count }));
