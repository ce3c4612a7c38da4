import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Runs the pods of `helm test` as a kubelet would, as far as they need one: their command really runs, with their
 * environment and secrets, and its end becomes the pod's status. Nothing is pulled and nothing is contained.
 */
export class PlayedKubelet {
  #client;
  #namespace;
  #environment;
  #stopped = false;
  #running;
  /** What each pod printed, by its name. */
  printed = new Map();

  /** @param {Record<string, string>} environment added to every container: stands in for the cluster's DNS */
  constructor(client, namespace, environment) {
    this.#client = client;
    this.#namespace = namespace;
    this.#environment = environment;
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  async #run() {
    const seen = new Set();
    while (!this.#stopped) {
      const { items } = await this.#client.get(`/api/v1/namespaces/${this.#namespace}/pods`);
      for (const pod of items.filter(({ metadata }) => !seen.has(metadata.uid))) {
        seen.add(pod.metadata.uid);
        await this.#runPod(pod);
      }
      await pause(20);
    }
  }

  async #runPod(pod) {
    const [container] = pod.spec.containers;
    const env = { PATH: process.env.PATH, ...this.#environment };
    for (const { name, value, valueFrom } of container.env ?? []) {
      env[name] = valueFrom === undefined ? value : await this.#secret(valueFrom.secretKeyRef);
    }
    const [program, ...args] = [...container.command, ...(container.args ?? [])];
    const child = spawn(program === 'node' ? process.execPath : program, args, { env });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
    const [status] = await once(child, 'close');
    this.printed.set(pod.metadata.name, text);
    await this.#client.patch(
      `/api/v1/namespaces/${this.#namespace}/pods/${pod.metadata.name}/status`,
      'merge',
      { status: { phase: status === 0 ? 'Succeeded' : 'Failed' } },
    );
  }

  async #secret({ name, key }) {
    const { data } = await this.#client.get(`/api/v1/namespaces/${this.#namespace}/secrets/${name}`);
    return Buffer.from(data[key], 'base64').toString();
  }
}
