import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { JsonLinesProgram } from '../kubernetes/json-lines.mjs';
import { NotRun } from '../lib/outcome.mjs';
import { LiveRoot } from './live-root.mjs';
import { writeRecording } from './recording.mjs';

/** Name that the agent gives to the devices of recording.mjs: with ATS from a recording, without where it is unknown. */
export const RESOURCE = 'vsmmu.io/10de-2941-ats';
export const LIVE_RESOURCE = 'vsmmu.io/10de-2941';

/** A machine with a made-up host, the real managers of kubelet in a process of their own, and vsmmu's agent in another. */
export class Node {
  /** @type {JsonLinesProgram} */
  kubelet;
  /** The made-up host, where it can change. @type {LiveRoot | undefined} */
  host;
  /** Kubelet's root directory. */
  directory;
  #ctx;
  #program;
  #folder;
  #agents = new Set();
  #pods = new Map();
  #started;

  /**
   * @param {import('../lib/context.mjs').Context} ctx
   * @param {{ program: string, devices: readonly import('./recording.mjs').Device[], live?: boolean, kubeletArguments?: readonly string[] }} options
   *   program: kubelet-harness; live: the host may change under the agent (needs root)
   *   kubeletArguments: of kubelet-harness, such as those for an API server
   */
  static async create(ctx, { program, devices, live = false, kubeletArguments = [] }) {
    const node = new Node(ctx, [program, ...kubeletArguments], await mkdtemp(join(tmpdir(), 'vsmmu-node-')));
    if (live) {
      if (process.getuid() !== 0) throw new NotRun('needs root to mount a made-up /sys for the agent');
      node.host = await LiveRoot.create(join(node.#folder, 'root'), devices);
    } else {
      await writeRecording(join(node.#folder, 'host'), devices);
    }
    return node;
  }

  constructor(ctx, program, folder) {
    this.#ctx = ctx;
    this.#program = program;
    this.#folder = folder;
    this.directory = join(folder, 'kubelet');
  }

  get devicePlugins() {
    return join(this.directory, 'device-plugins');
  }

  /**
   * Starts kubelet with these options of the harness's "start"; the same again where none are given.
   * The containers of its pods are running, as after any restart of kubelet alone.
   */
  async startKubelet(options = this.#started ?? {}) {
    this.#started = options;
    const pods = [...this.#pods.values()];
    const running = pods.flatMap(({ metadata, spec }) =>
      spec.containers.map(({ name }) => ({ podUID: metadata.uid, container: name })),
    );
    if (this.kubelet === undefined) {
      await mkdir(this.directory, { recursive: true });
      const [program, ...more] = this.#program;
      const child = this.#ctx.start(program, ['--dir', this.directory, ...more], {
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      this.kubelet = new JsonLinesProgram(child);
    }
    await this.kubelet.call('start', { running, pods, ...options });
  }

  /** As `systemctl stop kubelet`: its pods go on, and it knows them again after the next start. */
  stopKubelet() {
    return this.kubelet.call('stop');
  }

  /** As an OOM kill: nothing is closed, nothing removed. */
  async killKubelet() {
    await this.kubelet.kill();
    this.kubelet = undefined;
  }

  /** Starts an agent beside any that runs already. @param {readonly string[]} more arguments */
  startAgent(more = []) {
    const command = [process.execPath, this.#ctx.vsmmu, 'agent', '--kubelet-dir', this.directory];
    const arguments_ = [...(this.host === undefined ? ['--host', join(this.#folder, 'host')] : []), ...more];
    const [program, ...rest] = this.host?.wrap([...command, ...arguments_]) ?? [...command, ...arguments_];
    const child = this.#ctx.start(program, rest);
    const agent = new Agent(this.#ctx, child, more);
    this.#agents.add(agent);
    return agent;
  }

  /** Waits until kubelet counts these devices. @returns {Promise<number>} milliseconds it took */
  async counts(capacity, allocatable, resource = this.resource, seconds = 30) {
    const start = performance.now();
    await eventually(
      `kubelet counts ${allocatable} allocatable of ${capacity} ${resource}`,
      async () => {
        const seen = await this.kubelet.call('capacity');
        if (seen.capacity[resource] === capacity && seen.allocatable[resource] === allocatable) return true;
        throw new Error(`${JSON.stringify(seen)}\nagent: ${this.agentLog}`);
      },
      seconds,
    );
    return performance.now() - start;
  }

  /** A file beside the node's directories. */
  file(name) {
    return join(this.#folder, name);
  }

  get resource() {
    return this.host === undefined ? RESOURCE : LIVE_RESOURCE;
  }

  get agentLog() {
    return [...this.#agents]
      .map((agent) => agent.log)
      .join('\n--\n')
      .slice(-4000);
  }

  /** Asks kubelet to run a pod. @returns {Promise<{ admitted: boolean, reason: string, message: string }>} */
  async admit(pod) {
    const verdict = await this.kubelet.call('admit', { pod });
    if (verdict.admitted) this.#pods.set(pod.metadata.uid, pod);
    else this.#pods.delete(pod.metadata.uid);
    return verdict;
  }

  /** Runs a pod that must be admitted. @returns {Promise<string[]>} its devices, sorted */
  async run(uid, count, resource = this.resource) {
    const verdict = await this.admit(podOf(uid, { [resource]: count }));
    if (!verdict.admitted) throw new Error(`pod ${uid}: ${verdict.reason}: ${verdict.message}`);
    return this.devicesOf(uid, resource);
  }

  async devicesOf(uid, resource = this.resource, container = 'main') {
    const devices = await this.kubelet.call('devices', { uid, container });
    return Object.keys(devices[resource] ?? {}).sort();
  }

  /** What the container of a running pod gets. */
  options(uid, container = 'main') {
    return this.kubelet.call('options', { uid, container });
  }

  /** The pod is over: kubelet's list no longer has it. */
  remove(uid) {
    this.#pods.delete(uid);
    return this.kubelet.call('remove', { uid });
  }

  /** The pod was deleted at the API server while kubelet was away. */
  forget(uid) {
    this.#pods.delete(uid);
  }

  /** Files in the device plugin directory. */
  files() {
    return readdir(this.devicePlugins);
  }

  async close() {
    for (const agent of this.#agents) await agent.kill();
    if (this.kubelet !== undefined) await this.kubelet.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Not run where the agent has no such option (yet). @param {string} option */
export async function requireOption(ctx, option) {
  const { stdout } = await ctx.run(process.execPath, [ctx.vsmmu, 'agent', '--help']);
  if (!stdout.includes(` ${option} `)) throw new NotRun(`vsmmu agent has no option ${option}`);
}

/** One run of `vsmmu agent`. */
export class Agent {
  #ctx;
  #child;
  #said = '';
  #exit;

  constructor(ctx, child, arguments_) {
    this.#ctx = ctx;
    this.#child = child;
    this.arguments = arguments_;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#said = (this.#said + text).slice(-20_000)));
    }
    this.#exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  get log() {
    return this.#said;
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @returns {Promise<{ code: number | null, signal: string | null }>} */
  async stop() {
    this.#ctx.end(this.#child, 'SIGTERM');
    return this.#exit;
  }

  async kill() {
    this.#ctx.end(this.#child, 'SIGKILL');
    await this.#exit;
  }

  /** Changes how many files it may have open from now on. */
  async limitFiles(ctx, count) {
    await ctx.run('prlimit', [`--pid=${this.#child.pid}`, `--nofile=${count}:${Math.max(count, 4096)}`]);
  }

  /** Holds it still (SIGSTOP), or lets it go on (SIGCONT). */
  signal(name) {
    this.#ctx.end(this.#child, name);
  }
}

/** A pod with one container "main". @param {Record<string, number>} limits */
export function podOf(uid, limits, spec = {}) {
  return {
    metadata: { uid, name: uid, namespace: 'default' },
    spec: { containers: [containerOf('main', limits)], ...spec },
  };
}

export function containerOf(name, limits, more = {}) {
  const quantities = Object.fromEntries(
    Object.entries(limits).map(([resource, count]) => [resource, String(count)]),
  );
  return { name, image: 'none', resources: { limits: quantities, requests: quantities }, ...more };
}

/** Uses a node and cleans up after it, whatever happens. */
export async function withNode(ctx, options, use) {
  const node = await Node.create(ctx, options);
  try {
    return await use(node);
  } finally {
    await node.close();
  }
}
