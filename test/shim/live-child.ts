/** Probes the host under a root in a process of its own, where the shim is preloaded; the report goes to stdout. */
import { openLiveHost, type LiveHostOptions } from '../../src/host/live-host.js';
import { probeHost, type ProbeOptions } from '../../src/host/probe.js';

const { patienceMs, ...options } = JSON.parse(process.argv[2] ?? '{}') as LiveHostOptions & ProbeOptions;
const source = openLiveHost(options);
const ticks = { count: 0 };
const timer = setInterval(() => (ticks.count += 1), 5);
const report = await probeHost(source, { patienceMs });
clearInterval(timer);
await source.close();
process.stdout.write(JSON.stringify({ report, ticks: ticks.count }));
