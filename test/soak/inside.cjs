// Loaded into each program of a soak before it starts (node --require): writes what only the process itself can tell.
// SOAK_SAMPLES names the file, SOAK_SAMPLE_MS the pace; every SOAK_COLLECT_EVERY-th sample collects garbage first.
const { appendFileSync, readFileSync } = require('node:fs');
const { monitorEventLoopDelay } = require('node:perf_hooks');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { isMainThread } = require('node:worker_threads');

// A program's threads are loaded with this too; what they take stands in the process' own memory.
if (isMainThread) watch();

function watch() {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let count = 0;

  setInterval(() => {
    // Before the collection: its own pause is not the program's.
    const loop = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 };
    const collected = ++count % Number(process.env.SOAK_COLLECT_EVERY) === 0;
    if (collected) collect();
    const resources = process.getActiveResourcesInfo();
    const timers = resources.filter((name) => name === 'Timeout' || name === 'Immediate').length;
    const { heapTotal, heapUsed, external } = process.memoryUsage();
    const sample = {
      at: Date.now(),
      collected,
      heapTotal,
      heapUsed,
      external,
      // Right after a collection what is young is gone: what stays is live, kept by V8 for later, or the allocator's.
      anonymous:
        Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]) * 1024,
      timers,
      handles: resources.length - timers,
      loop,
    };
    appendFileSync(process.env.SOAK_SAMPLES, `${JSON.stringify(sample)}\n`);
    delay.reset();
  }, Number(process.env.SOAK_SAMPLE_MS)).unref();
}
