import { expect, test } from '@jest/globals';
import { Writable } from 'node:stream';
import { jsonLog } from './json-log.js';
import type { Log } from './log.js';
import { LOG_LEVELS, type LogLevel } from './log-options.js';
import { winstonLog } from './winston-log.js';

async function linesOf(open: (stream: Writable) => Log): Promise<object[]> {
  let text = '';
  const stream = new Writable({
    write: (chunk, _, done) => {
      text += String(chunk);
      done();
    },
  });
  const log = open(stream);
  for (const level of LOG_LEVELS) {
    log[level]('A device is back.', { device: '0000:01:00.0', nodes: 2, healthy: true, absent: undefined });
    log[level]('Without fields, but with "quotes" and\na line break.');
  }
  await new Promise(setImmediate);
  const lines = text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => {
    const { timestamp, ...rest } = JSON.parse(line) as { timestamp: string };
    expect(new Date(timestamp).toISOString()).toBe(timestamp);
    return rest;
  });
}

test.each(LOG_LEVELS)("at level %s its lines are winston's", async (level: LogLevel) => {
  const lines = await linesOf((stream) => jsonLog(stream, level));
  expect(lines).toEqual(await linesOf((stream) => winstonLog(stream, { level })));
  expect(lines).toHaveLength(2 * (LOG_LEVELS.indexOf(level) + 1));
});
