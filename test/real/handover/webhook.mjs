import { once } from 'node:events';
import { request } from 'node:https';
import { eventually } from '../kubernetes/eventually.mjs';
import { IMAGE } from '../webhook/webhook.mjs';
import { NAME } from './configurations.mjs';

/** Lives of certificates in seconds, short enough to see them end. */
const SHORT_LIVES = { authority: 30, leaf: 10 };

/** One replica of `vsmmu webhook --cluster`. */
export class ClusterWebhook {
  #ctx;
  #options;
  #child;
  #said = '';

  /** @param {{ port: number, kubeconfig: string, lives?: { authority: number, leaf: number } }} options */
  constructor(ctx, options) {
    this.#ctx = ctx;
    this.#options = options;
  }

  get log() {
    return this.#said;
  }

  async run() {
    const { port, kubeconfig, lives = SHORT_LIVES } = this.#options;
    this.#child = this.#ctx.start(process.execPath, [
      ...[
        this.#ctx.vsmmu,
        'webhook',
        '--cluster',
        '--dra',
        '--kubeconfig',
        kubeconfig,
        '--listen',
        `127.0.0.1:${port}`,
      ],
      ...['--certificate-name', '127.0.0.1', '--namespace', 'vsmmu-system', '--hook-image', IMAGE],
      ...['--mutating-configuration', NAME, '--validating-configuration', NAME, '--shutdown-delay', '1'],
      ...['--ca-lifetime', `${lives.authority}`, '--leaf-lifetime', `${lives.leaf}`],
    ]);
    let address = '';
    this.#said = '';
    const child = this.#child;
    child.stdout.on('data', (text) => (address += text));
    child.stderr.on('data', (text) => (this.#said = (this.#said + text).slice(-20_000)));
    await eventually('the webhook listens', () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}\n${this.#said}`);
      if (address.includes('\n')) return true;
      throw new Error(this.#said);
    });
  }

  /** Status of its readiness endpoint. */
  ready() {
    const options = { rejectUnauthorized: false, agent: false };
    return new Promise((resolve, reject) => {
      const sent = request(`https://127.0.0.1:${this.#options.port}/readyz`, options, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      sent.on('error', reject).end();
    });
  }

  async end(signal) {
    if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#ctx.end(this.#child, signal);
    await exited;
  }

  close() {
    return this.end('SIGKILL');
  }
}
