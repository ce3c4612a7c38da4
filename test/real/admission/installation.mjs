import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { Balancer } from '../webhook/balancer.mjs';

export const OWN_NAMESPACE = 'vsmmu-system';
export const IMAGE = 'registry.example/vsmmu:test';
export const SECRET = `/api/v1/namespaces/${OWN_NAMESPACE}/secrets/vsmmu-webhook-authorities`;
const NAME = 'vsmmu-webhook';
const REGISTRATION = '/apis/admissionregistration.k8s.io/v1';
export const MUTATING = `${REGISTRATION}/mutatingwebhookconfigurations/${NAME}`;
export const VALIDATING = `${REGISTRATION}/validatingwebhookconfigurations/${NAME}`;

/** What the webhook's account may do, and nothing else. */
const RULES = {
  cluster: [
    { apiGroups: ['vsmmu.io'], resources: ['nodeprofiles'], verbs: ['get', 'list', 'watch'] },
    {
      apiGroups: ['admissionregistration.k8s.io'],
      resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
      resourceNames: [NAME],
      verbs: ['get', 'update'],
    },
  ],
  own: [
    {
      apiGroups: [''],
      resources: ['secrets'],
      resourceNames: ['vsmmu-webhook-authorities'],
      verbs: ['get', 'update', 'patch', 'create'],
    },
  ],
};

/** The webhook in cluster mode: two replicas with a service account's rights behind what a Service is to them. */
export class Installation {
  replicas = [];
  #ctx;
  #cluster;
  #product;
  #folder;
  #balancer;

  /** @param more rules of the account beside those that every webhook needs */
  static async create(ctx, cluster, product, more = []) {
    const installation = new Installation(
      ctx,
      cluster,
      product,
      await mkdtemp(join(tmpdir(), 'vsmmu-admission-')),
    );
    await installation.#account(more);
    await installation.#register();
    return installation;
  }

  constructor(ctx, cluster, product, folder) {
    this.#ctx = ctx;
    this.#cluster = cluster;
    this.#product = product;
    this.#folder = folder;
  }

  /** Starts so many replicas with these further arguments, and waits until they say that they are ready. */
  async start(count, args = []) {
    const replicas = Array.from({ length: count }, () => new Replica(this.#ctx, this.kubeconfig, args));
    await Promise.all(replicas.map((replica) => replica.listen()));
    this.replicas = replicas;
    this.#balancer.use(replicas.map(({ port }) => port));
    for (const replica of replicas)
      await eventually('the replica is ready', async () => (await replica.ready()) === 200, 60);
  }

  /** Runs `act` while the Service has no endpoint: a call fails at once. */
  async unreachable(act) {
    this.#balancer.use([]);
    this.#balancer.cut();
    try {
      return await act();
    } finally {
      this.#balancer.use(this.replicas.map(({ port }) => port));
    }
  }

  async stop(signal = 'SIGKILL') {
    await Promise.all(this.replicas.map((replica) => replica.end(signal)));
    this.replicas = [];
  }

  get kubeconfig() {
    return join(this.#folder, 'kubeconfig.json');
  }

  async close() {
    await this.stop();
    this.#balancer?.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #account(more) {
    const { admin, url, ca } = this.#cluster;
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    await admin.create(`/api/v1/namespaces/${OWN_NAMESPACE}/serviceaccounts`, { metadata: { name: NAME } });
    const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace: OWN_NAMESPACE }];
    const role = (kind) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: NAME });
    await admin.create(`${rbac}/clusterroles`, {
      metadata: { name: NAME },
      rules: [...RULES.cluster, ...more],
    });
    await admin.create(`${rbac}/clusterrolebindings`, {
      metadata: { name: NAME },
      roleRef: role('ClusterRole'),
      subjects,
    });
    const own = `${rbac}/namespaces/${OWN_NAMESPACE}`;
    await admin.create(`${own}/roles`, { metadata: { name: NAME }, rules: RULES.own });
    await admin.create(`${own}/rolebindings`, { metadata: { name: NAME }, roleRef: role('Role'), subjects });
    const { status } = await admin.create(
      `/api/v1/namespaces/${OWN_NAMESPACE}/serviceaccounts/${NAME}/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
    );
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [
        {
          name: 'test',
          cluster: { server: url, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
        },
      ],
      users: [{ name: 'test', user: { token: status.token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    };
    await writeFile(this.kubeconfig, JSON.stringify(kubeconfig));
  }

  async #register() {
    this.#balancer = await Balancer.listen();
    const { port } = this.#balancer;
    const { mutating, validating } = this.#product.webhookRegistrations({
      name: NAME,
      resources: ['vsmmu.io/'],
      onlyOurHook: JSON.stringify([{ image: IMAGE, imagePullPolicy: 'IfNotPresent', args: ['hook'] }]),
      excludedNamespaces: ['kube-system', OWN_NAMESPACE],
      clientConfig: (path) => ({ url: `https://127.0.0.1:${port}${path}` }),
    });
    const { admin } = this.#cluster;
    await admin.create(`${REGISTRATION}/mutatingwebhookconfigurations`, mutating);
    await admin.create(`${REGISTRATION}/validatingwebhookconfigurations`, validating);
  }
}

class Replica {
  port = 0;
  #ctx;
  #child;
  #said = '';

  constructor(ctx, kubeconfig, args) {
    this.#ctx = ctx;
    this.#child = ctx.start(process.execPath, [
      ...[ctx.vsmmu, 'webhook', '--cluster', '--kubeconfig', kubeconfig, '--listen', '127.0.0.1:0'],
      ...['--certificate-name', '127.0.0.1', '--namespace', OWN_NAMESPACE, '--hook-image', IMAGE],
      ...['--shutdown-delay', '0', '--log-level', 'debug', ...args],
    ]);
  }

  get log() {
    return this.#said;
  }

  async listen() {
    let address = '';
    this.#child.stdout.on('data', (text) => (address += text));
    this.#child.stderr.on('data', (text) => (this.#said += text));
    await eventually(
      'the webhook listens',
      () => {
        if (this.#child.exitCode !== null)
          throw new Error(`it ended with ${this.#child.exitCode}\n${this.#said}`);
        return address.includes('\n');
      },
      60,
    );
    this.port = Number(new URL(address.trim()).port);
  }

  ready() {
    return new Promise((resolve, reject) => {
      const options = { rejectUnauthorized: false, agent: false };
      request(`https://127.0.0.1:${this.port}/readyz`, options, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });
  }

  signal(name) {
    this.#ctx.end(this.#child, name);
  }

  async end(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.signal(signal);
    return (await exited)[0];
  }
}
