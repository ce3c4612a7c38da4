import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Authority } from '../kubernetes/certificates.mjs';
import { eventually } from '../kubernetes/eventually.mjs';

const MIB = 1024 * 1024;

/** A program that follows the fleet, and looks at its own memory after a collection, twice a second (test/soak/inside.cjs). */
export class Follower {
  #child;
  #samples;

  static async webhook(ctx, folder, kubeconfig) {
    const authority = await Authority.create(ctx, folder, 'ca');
    const [certificate, key] = ['tls.crt', 'tls.key'].map((name) => join(folder, name));
    await authority.issue({ certificate, key });
    const args = ['webhook', '--listen', '127.0.0.1:0', '--cluster', '--policies', '--dra'];
    return Follower.#start(
      ctx,
      join(folder, 'webhook.samples'),
      [...args, '--tls-cert', certificate, '--tls-key', key, '--kubeconfig', kubeconfig],
      /https:/,
    );
  }

  static controller(ctx, folder, kubeconfig) {
    const args = ['controller', '--namespace', 'vsmmu-system', '--kubeconfig', kubeconfig];
    return Follower.#start(ctx, join(folder, 'controller.samples'), args, /controller started/);
  }

  static async #start(ctx, samples, args, ready) {
    const inside = join(ctx.root, 'test/soak/inside.cjs');
    const env = { SOAK_SAMPLES: samples, SOAK_SAMPLE_MS: '500', SOAK_COLLECT_EVERY: '1' };
    const child = ctx.start(process.execPath, ['--require', inside, ctx.vsmmu, ...args], {
      env: { ...process.env, ...env },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => (said = (said + text).slice(-9000)));
    await eventually('it runs', () => ready.test(said), 60);
    return new Follower(child, samples);
  }

  constructor(child, samples) {
    this.#child = child;
    this.#samples = samples;
  }

  get pid() {
    return this.#child.pid;
  }

  async liveMiB() {
    const lines = async () => (await readFile(this.#samples, 'utf8').catch(() => '')).trim().split('\n');
    const count = (await lines()).length;
    await eventually('it has looked at itself', async () => (await lines()).length > count + 1, 60);
    const { heapUsed, external } = JSON.parse((await lines()).at(-1));
    return (heapUsed + external) / MIB;
  }
}
