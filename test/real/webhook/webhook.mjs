import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Authority } from '../kubernetes/certificates.mjs';
import { renderChart } from '../kubernetes/chart.mjs';
import { eventually } from '../kubernetes/eventually.mjs';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
export const IMAGE = 'registry.example/vsmmu:test';

/** `vsmmu webhook`, and the chart's configuration pointing the API server at it. */
export class Webhook {
  /** @type {Authority} */
  authority;
  /** @type {Replica} */
  replica;
  configuration;
  #ctx;
  #cluster;
  #folder;

  /** @param {import('../kubernetes/cluster.mjs').Cluster} cluster */
  static async start(ctx, cluster) {
    const webhook = new Webhook(ctx, cluster, await mkdtemp(join(tmpdir(), 'vsmmu-webhook-')));
    webhook.authority = await Authority.create(ctx, webhook.#folder, 'first-ca');
    await webhook.authority.issue(webhook.files);
    webhook.replica = await webhook.startReplica();
    await webhook.#configure();
    return webhook;
  }

  constructor(ctx, cluster, folder) {
    this.#ctx = ctx;
    this.#cluster = cluster;
    this.#folder = folder;
  }

  get files() {
    return { certificate: join(this.#folder, 'tls.crt'), key: join(this.#folder, 'tls.key') };
  }

  /** One more process with the same certificate; the API server doesn't know of it. */
  async startReplica() {
    const replica = new Replica(this.#ctx, this.files);
    await replica.run();
    return replica;
  }

  /** Another CA for further leaves; the old one stays valid for who trusts it. */
  async newAuthority(name) {
    this.authority = await Authority.create(this.#ctx, this.#folder, name);
  }

  /** Tells the API server which CAs to trust. @param {string} bundle PEM */
  trust(bundle) {
    return this.#change('caBundle', Buffer.from(bundle).toString('base64'));
  }

  /** Tells the API server at which port of this machine the webhook is. */
  route(port) {
    const { pathname } = new URL(this.configuration.webhooks[0].clientConfig.url);
    return this.#change('url', `https://127.0.0.1:${port}${pathname}`);
  }

  async close() {
    await this.replica.end('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** The chart's own configuration; only where the service stands is another matter here. */
  async #configure() {
    const objects = await renderChart(this.#ctx);
    this.configuration = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
    const caBundle = Buffer.from(await this.authority.bundle()).toString('base64');
    for (const webhook of this.configuration.webhooks) {
      const { path } = webhook.clientConfig.service;
      webhook.clientConfig = { url: `https://127.0.0.1:${this.replica.port}${path}`, caBundle };
    }
    await this.#cluster.admin.create(CONFIGURATIONS, this.configuration);
  }

  #change(field, value) {
    const patch = this.configuration.webhooks.map((_, index) => ({
      op: 'replace',
      path: `/webhooks/${index}/clientConfig/${field}`,
      value,
    }));
    return this.#cluster.admin.patch(`${CONFIGURATIONS}/${this.configuration.metadata.name}`, 'json', patch);
  }
}

/** One process of the webhook; it comes back on the same port. */
export class Replica {
  port = 0;
  #ctx;
  #files;
  #child;
  #said = '';

  /** @param {{ certificate: string, key: string }} files */
  constructor(ctx, files) {
    this.#ctx = ctx;
    this.#files = files;
  }

  get log() {
    return this.#said;
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async run() {
    const { certificate, key } = this.#files;
    const child = this.#ctx.start(process.execPath, [
      ...[this.#ctx.vsmmu, 'webhook', '--listen', `127.0.0.1:${this.port}`],
      ...['--tls-cert', certificate, '--tls-key', key, '--hook-image', IMAGE, '--shutdown-delay', '1'],
    ]);
    this.#child = child;
    this.#said = '';
    let address = '';
    child.stdout.on('data', (text) => (address += text));
    child.stderr.on('data', (text) => (this.#said = (this.#said + text).slice(-20_000)));
    await eventually('the webhook listens', () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}\n${this.#said}`);
      return address.includes('\n');
    });
    this.port = Number(new URL(address.trim()).port);
  }

  /** Status of its readiness endpoint, asked on a connection of its own as kubelet does. */
  ready() {
    const options = { rejectUnauthorized: false, agent: false };
    return new Promise((resolve, reject) => {
      const sent = request(`https://127.0.0.1:${this.port}/readyz`, options, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      sent.on('error', reject).end();
    });
  }

  /** @param {string} path @param {Buffer} body @returns {Promise<{ status: number, body: any }>} */
  post(path, body) {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const options = { method: 'POST', rejectUnauthorized: false, agent: false, headers };
    return new Promise((resolve, reject) => {
      const sent = request(`https://127.0.0.1:${this.port}${path}`, options, (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
      });
      sent.on('error', reject).end(body);
    });
  }

  /** Memory of its process. */
  async residentMiB() {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
  }

  signal(name) {
    this.#ctx.end(this.#child, name);
  }

  /** @returns {Promise<number | null>} its status */
  async end(signal) {
    if (!this.running) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.signal(signal);
    const [code] = await exited;
    return code;
  }
}

/** How often the API server called a webhook so far, by its own metric. @returns {Promise<number>} */
export async function callsOf(cluster, name) {
  const metrics = await cluster.admin.metrics();
  return metrics
    .split('\n')
    .filter((line) => line.startsWith('apiserver_admission_webhook_admission_duration_seconds_count{'))
    .filter((line) => line.includes(`name="${name}"`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
