/** Runs in a mount namespace whose argument is a small tmpfs: what becomes of a state when its disk is full, then read-only. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Checkpoint } from '../../../src/kubelet/checkpoint.js';
import { silentLog } from '../../../src/log/log.js';

const [dir = ''] = process.argv.slice(2);
const isText = (value: unknown) => (typeof value === 'string' ? value : undefined);
const checkpoint = new Checkpoint<string>(join(dir, 'state/state.json'), isText);
const attempt = (value: string) =>
  checkpoint
    .write(() => value)
    .then(
      () => 'written',
      (error: unknown) => String(error),
    );
const stands = async () => {
  const read = await checkpoint.read(silentLog);
  return read.kind === 'read' ? read.value : read.kind;
};

const filler = join(dir, 'filler');
const said: Record<string, string> = { first: await attempt('before') };
try {
  for (let size = 0; ; size += 4096) writeFileSync(filler, 'x'.repeat(4096), { flag: 'a' });
} catch {
  said['full'] = await attempt('x'.repeat(8192));
}
said['afterFull'] = await stands();
rmSync(filler);
said['again'] = await attempt('with room');
said['afterAgain'] = await stands();
execFileSync('mount', ['-o', 'remount,ro', dir]);
said['readOnly'] = await attempt('never');
said['afterReadOnly'] = await stands();
process.stdout.write(JSON.stringify(said));
