import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeClient } from './client.mjs';
import { eventually } from './eventually.mjs';
import { goProgram } from './go-program.mjs';

/**
 * A control plane without controllers: a real etcd and a real kube-apiserver with RBAC, the audit log on and every
 * admission plugin that is on by default. Ready in seconds once both are built.
 */
export class Cluster {
  /** A cluster administrator. @type {KubeClient} */
  admin;
  url;
  /** PEM of the API server's CA, and a file that holds it. */
  ca;
  caFile;
  adminToken = randomBytes(16).toString('hex');
  #ctx;
  #folder;
  #programs;
  #ports;
  #etcd;
  #apiServer;

  /** @param {import('../lib/context.mjs').Context} ctx */
  static async start(ctx) {
    const programs = {
      etcd: await goProgram(ctx, 'etcd'),
      apiServer: await goProgram(ctx, 'kube-apiserver'),
    };
    const cluster = new Cluster(ctx, programs, await mkdtemp(join(tmpdir(), 'vsmmu-cluster-')));
    await cluster.#configure();
    await cluster.startEtcd();
    await cluster.startApiServer();
    return cluster;
  }

  constructor(ctx, programs, folder) {
    this.#ctx = ctx;
    this.#programs = programs;
    this.#folder = folder;
    this.caFile = join(folder, 'certificates', 'apiserver.crt');
  }

  async startEtcd() {
    const { client, peer } = this.#ports;
    this.#etcd = this.#start('etcd', this.#programs.etcd, [
      `--data-dir=${join(this.#folder, 'etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
  }

  async startApiServer() {
    const file = (name) => join(this.#folder, name);
    this.#apiServer = this.#start('kube-apiserver', this.#programs.apiServer, [
      `--etcd-servers=http://127.0.0.1:${this.#ports.client}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${this.#ports.apiServer}`,
      `--cert-dir=${file('certificates')}`,
      '--service-cluster-ip-range=10.96.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('service-account.pub')}`,
      `--service-account-signing-key-file=${file('service-account.key')}`,
      '--authorization-mode=Node,RBAC',
      `--token-auth-file=${file('tokens.csv')}`,
      `--audit-policy-file=${file('audit-policy.json')}`,
      `--audit-log-path=${this.auditLog}`,
      '--audit-log-mode=blocking',
      '--allow-privileged=true', // as kubeadm and every distribution set it
      '--profiling=false',
    ]);
    await eventually(
      'kube-apiserver is ready',
      async () => {
        if (this.#apiServer.exitCode !== null)
          throw new Error(`it ended\n${await this.log('kube-apiserver')}`);
        this.ca = await readFile(this.caFile, 'utf8');
        this.admin ??= this.client({ token: this.adminToken });
        return (await this.admin.get('/readyz')) === 'ok';
      },
      120,
    );
  }

  /** A client with another identity. @param {Omit<ConstructorParameters<typeof KubeClient>[0], 'url' | 'ca'>} identity */
  client(identity) {
    return new KubeClient({ url: this.url, ca: this.ca, ...identity });
  }

  /** The administrator acting as somebody else. */
  as(user, groups = ['system:authenticated']) {
    return this.client({ token: this.adminToken, user, groups });
  }

  /** A real service-account token, bound to a pod where one is named; the account and the pod must exist. */
  async serviceAccountClient(namespace, name, pod) {
    return this.client({ token: await this.serviceAccountToken(namespace, name, pod) });
  }

  /** A token for an hour. @returns {Promise<string>} */
  async serviceAccountToken(namespace, name, pod) {
    const { status } = await this.admin.create(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          expirationSeconds: 3600,
          ...(pod === undefined
            ? {}
            : {
                boundObjectRef: {
                  apiVersion: 'v1',
                  kind: 'Pod',
                  name: pod.metadata.name,
                  uid: pod.metadata.uid,
                },
              }),
        },
      },
    );
    return status.token;
  }

  /** Prometheus text of etcd's own metrics. */
  async etcdMetrics() {
    return (await fetch(`http://127.0.0.1:${this.#ports.client}/metrics`)).text();
  }

  get auditLog() {
    return join(this.#folder, 'audit.log');
  }

  /** Audit events so far, oldest first. */
  async audit() {
    const text = await readFile(this.auditLog, 'utf8');
    return text
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line));
  }

  /** What a program printed. @param {'etcd' | 'kube-apiserver'} name */
  async log(name) {
    return (await readFile(join(this.#folder, `${name}.log`), 'utf8')).slice(-8000);
  }

  /** As after a crash of the machine's API server: killed, not asked. */
  async killApiServer() {
    await end(this.#ctx, this.#apiServer, 'SIGKILL');
  }

  async killEtcd() {
    await end(this.#ctx, this.#etcd, 'SIGKILL');
  }

  async stop() {
    this.admin?.close();
    await end(this.#ctx, this.#apiServer, 'SIGKILL');
    await end(this.#ctx, this.#etcd, 'SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #configure() {
    const [client, peer, apiServer] = await freePorts(3);
    this.#ports = { client, peer, apiServer };
    this.url = `https://127.0.0.1:${apiServer}`;
    const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = (key, type) => key.export({ type, format: 'pem' });
    await writeFile(join(this.#folder, 'service-account.key'), pem(keys.privateKey, 'pkcs1'), {
      mode: 0o600,
    });
    await writeFile(join(this.#folder, 'service-account.pub'), pem(keys.publicKey, 'spki'));
    await writeFile(join(this.#folder, 'tokens.csv'), `${this.adminToken},admin,admin,system:masters\n`);
    await writeFile(
      join(this.#folder, 'audit-policy.json'),
      JSON.stringify({
        apiVersion: 'audit.k8s.io/v1',
        kind: 'Policy',
        omitStages: ['RequestReceived'],
        rules: [
          { level: 'None', nonResourceURLs: ['/readyz*', '/metrics', '/openapi*', '/api*'] },
          { level: 'None', users: ['system:apiserver'] },
          // The API server notes which webhooks changed an object from this level on.
          { level: 'Request' },
        ],
      }),
    );
  }

  #start(name, program, args) {
    // Through a shell's exec, so that the log is a plain file and the program keeps this process's id.
    return this.#ctx.start('/bin/sh', [
      '-c',
      'log="$1"; shift; exec "$@" >>"$log" 2>&1',
      'sh',
      join(this.#folder, `${name}.log`),
      program,
      ...args,
    ]);
  }
}

async function end(ctx, child, signal) {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  ctx.end(child, signal);
  await exited;
}

/** Ports that were free a moment ago; neither etcd nor kube-apiserver can tell which it would pick itself. */
export async function freePorts(count) {
  const servers = [];
  for (let i = 0; i < count; i++) {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
