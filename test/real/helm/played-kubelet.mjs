import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Runs the pods of Helm's hooks as a kubelet would, as far as they need one, and makes Jobs' pods as their controller
 * would: a command really runs, with its environment, its secrets and a token of its own account that is bound to its
 * pod, and its end becomes the pod's status. Nothing is pulled and nothing is contained but the account's folder.
 */
export class PlayedKubelet {
  #cluster;
  #client;
  #program;
  #namespace;
  #environment;
  #stopped = false;
  #running;
  /** What each pod printed, by its name. */
  printed = new Map();
  /** Called before a pod runs, with its name. */
  onPod = async () => undefined;

  /**
   * @param {import('../kubernetes/cluster.mjs').Cluster} cluster
   * @param {string} program the bundle, which a container without a command runs
   * @param {Record<string, string>} environment added to every container: stands in for the cluster's DNS
   */
  constructor(cluster, program, namespace, environment = {}) {
    this.#cluster = cluster;
    this.#client = cluster.admin;
    this.#program = program;
    this.#namespace = namespace;
    const { hostname, port } = new URL(cluster.url);
    this.#environment = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port, ...environment };
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  async #run() {
    const seen = new Set();
    const fresh = ({ metadata }) => !seen.has(metadata.uid) && seen.add(metadata.uid);
    while (!this.#stopped) {
      const { items: jobs } = await this.#client.get(`/apis/batch/v1/namespaces/${this.#namespace}/jobs`);
      for (const job of jobs.filter(fresh)) await this.#runJob(job, seen);
      const { items: pods } = await this.#client.get(`/api/v1/namespaces/${this.#namespace}/pods`);
      for (const pod of pods.filter(isPending).filter(fresh)) await this.#runPod(pod);
      await pause(20);
    }
  }

  /** One try; the controller would make more. */
  async #runJob(job, seen) {
    const { name, uid } = job.metadata;
    const pod = await this.#client.create(`/api/v1/namespaces/${this.#namespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${name}-0`,
        labels: job.spec.template.metadata.labels,
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid }],
      },
      spec: job.spec.template.spec,
    });
    seen.add(pod.metadata.uid);
    const succeeded = await this.#runPod(pod);
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const condition = (type) => ({ type, status: 'True', lastTransitionTime: now, lastProbeTime: now });
    const ended = succeeded
      ? { succeeded: 1, completionTime: now, conditions: ['SuccessCriteriaMet', 'Complete'].map(condition) }
      : { failed: 1, conditions: ['FailureTarget', 'Failed'].map(condition) };
    await this.#patch('jobs', `/apis/batch/v1/namespaces/${this.#namespace}/jobs/${name}/status`, {
      startTime: now,
      ...ended,
    });
    // The garbage collector would take the pod away with its Job.
    await this.#client.request('DELETE', `/api/v1/namespaces/${this.#namespace}/pods/${name}-0`, {
      query: { gracePeriodSeconds: '0' },
    });
  }

  async #runPod(pod) {
    const { name } = pod.metadata;
    await this.onPod(name);
    const [container] = pod.spec.containers;
    const env = { PATH: process.env.PATH, ...this.#environment };
    for (const { name, value, valueFrom } of container.env ?? []) {
      env[name] = valueFrom === undefined ? value : await this.#secret(valueFrom.secretKeyRef);
    }
    // The image's own entry is the program.
    const [program, ...words] = container.command ?? ['node', this.#program];
    const command = [program === 'node' ? process.execPath : program, ...words, ...(container.args ?? [])];
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-pod-'));
    try {
      const child = await this.#spawn(pod, container, command, env, folder);
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
      const [status] = await once(child, 'close');
      this.printed.set(name, text);
      await this.#patch('pods', `/api/v1/namespaces/${this.#namespace}/pods/${name}/status`, {
        phase: status === 0 ? 'Succeeded' : 'Failed',
      });
      return status === 0;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** With its account at its place, in a mount namespace of its own, where the pod mounts one. */
  async #spawn(pod, container, command, env, folder) {
    const mounts = (container.volumeMounts ?? []).some(({ mountPath }) => mountPath === ACCOUNT);
    if (!mounts) return spawn(command[0], command.slice(1), { env });
    const token = await this.#cluster.serviceAccountToken(this.#namespace, pod.spec.serviceAccountName, pod);
    await mkdir(join(folder, 'account'));
    const files = { token, 'ca.crt': this.#cluster.ca, namespace: this.#namespace };
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, 'account', file), text);
    const script = 'mount -t tmpfs none /run && mkdir -p "$1" && cp "$2"/* "$1"/ && shift 2 && exec "$@"';
    const words = ['sh', '-c', script, 'sh', ACCOUNT, join(folder, 'account'), ...command];
    return spawn('unshare', ['--mount', '--propagation=private', ...words], { env });
  }

  /** What is deleted meanwhile needs no status. */
  async #patch(kind, path, status) {
    const answer = await this.#client.exchange('PATCH', path, {
      body: { status },
      contentType: 'application/merge-patch+json',
    });
    if (![200, 404].includes(answer.status))
      throw new Error(`status of ${kind}: ${answer.status} ${answer.body?.message}`);
  }

  async #secret({ name, key }) {
    const { data } = await this.#client.get(`/api/v1/namespaces/${this.#namespace}/secrets/${name}`);
    return Buffer.from(data[key], 'base64').toString();
  }
}

/** One that ends, and has not run yet, perhaps under an earlier kubelet. */
function isPending({ spec, status }) {
  return spec.restartPolicy === 'Never' && status?.phase === 'Pending';
}
