import type { KubeClient } from '../../cluster/kube-client.js';
import { isKubeError } from '../../cluster/kube-error.js';
import { getOrMake } from '../../cluster/named-object.js';
import { pauseFor } from '../../cluster/backoff.js';
import type { KubeObject, ResourceType } from '../../cluster/resource.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log/log.js';
import {
  type Authority,
  bundleOf,
  type CertificateTiming,
  dueAuthorities,
  leafValidity,
  parseAuthorities,
  renderAuthorities,
  signingAuthority,
} from './authorities.js';
import { issueLeaf, type KeyPair } from './issue.js';
import {
  MUTATING,
  readConfiguration,
  VALIDATING,
  type WebhookConfiguration,
  writeBundle,
} from './webhook-configurations.js';

export const SECRETS: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  namespaced: true,
};

export interface SelfSignedOptions {
  readonly client: KubeClient;
  readonly secret: { readonly name: string; readonly namespace: string };
  /** Names and addresses that API servers call the webhook by. */
  readonly names: readonly string[];
  readonly mutating: readonly string[];
  readonly validating: readonly string[];
  readonly timing: CertificateTiming;
  readonly onLeaf: (leaf: KeyPair) => void;
  readonly log: Log;
  /** Milliseconds since the epoch: certificates live by the wall clock, also through a suspended machine. */
  readonly now?: () => number;
}

interface Leaf {
  readonly authority: Authority;
  readonly renewAt: number;
  readonly notAfter: number;
}

/** API servers follow webhook configurations by a watch; this is many times what that takes. */
const SEEN_MS = 1000;
const HURRY_MS = 200;
/** The entry of the Secret that holds the authorities; ca.crt beside it is for people. */
const ENTRY = 'authorities.json';

/**
 * Certificates without anybody's help. Authorities live in a Secret that whichever replica comes first fills;
 * each replica has a leaf of its own in memory. Rotation never fails an admission, because each step waits for the
 * one before to be seen: the new authority joins the bundle beside the old one, then leaves are signed with it, then
 * the old one goes. A Secret that was deleted or spoiled is made good from memory.
 */
export class SelfSignedCertificates {
  readonly #options: SelfSignedOptions;
  readonly #now: () => number;
  #leaf: Leaf | undefined;
  /** Since when all configurations trust the leaf; undefined: they don't. */
  #trustedSince: number | undefined;

  constructor(options: SelfSignedOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** What is missing before API servers can talk to this replica; undefined: nothing. */
  missing(): string | undefined {
    const now = this.#now();
    if (this.#leaf === undefined) return 'no certificate yet';
    if (this.#leaf.notAfter <= now) return 'the certificate has expired';
    const seen = Math.min(SEEN_MS, this.#options.timing.settleMs);
    if (this.#trustedSince !== undefined && now - this.#trustedSince >= seen) return undefined;
    return 'the webhook configurations do not trust the certificate yet';
  }

  /** Looks after everything until the signal is aborted; failures are logged and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await pauseFor(await this.#round(signal), signal);
  }

  /** @returns how long to wait for the next, milliseconds */
  async #round(signal: AbortSignal): Promise<number> {
    const usual = this.#options.timing.pollMs * (0.75 + Math.random() / 4);
    try {
      await this.ensure(signal);
      return usual;
    } catch (error) {
      if (signal.aborted) return 0;
      // Another replica was faster; what it did is seen in the next round.
      if (isKubeError(error, 'KUBE_CONFLICT')) return Math.min(usual, HURRY_MS * Math.random());
      this.#options.log.warn('certificates not looked after', { error: messageOf(error) });
      return this.#leaf === undefined ? Math.min(usual, SEEN_MS) : usual;
    }
  }

  /**
   * One round. The configurations are read before the Secret: whoever wrote a newer bundle wrote the newer Secret
   * first, so either that is seen here too, or writing the bundle meets a conflict.
   */
  async ensure(signal: AbortSignal): Promise<void> {
    const configurations = await this.#readConfigurations(signal);
    const authorities = await this.#ensureSecret(signal);
    const now = this.#now();
    this.#renewLeaf(authorities, configurations, now);
    for (const configuration of configurations) {
      const bundle = bundleOf(authorities, configuration.bundle ?? '', now, this.#options.timing);
      if (configuration.bundle === bundle) continue;
      await writeBundle(this.#options.client, configuration, bundle, signal);
      this.#options.log.info('webhook configuration trusts new authorities', {
        configuration: configuration.object.metadata.name,
        authorities: authorities.length,
      });
    }
    this.#trustedSince ??= now;
  }

  #readConfigurations(signal: AbortSignal): Promise<WebhookConfiguration[]> {
    const { client, mutating, validating } = this.#options;
    return Promise.all([
      ...mutating.map((name) => readConfiguration(client, MUTATING, name, signal)),
      ...validating.map((name) => readConfiguration(client, VALIDATING, name, signal)),
    ]);
  }

  async #ensureSecret(signal: AbortSignal): Promise<Authority[]> {
    const { client, secret, timing, log } = this.#options;
    const object = await getOrMake(client, SECRETS, secret, signal);
    const text = entryOf(object);
    const known = parseAuthorities(text);
    const due = dueAuthorities(known, this.#leaf?.authority, this.#now(), timing);
    const wanted = renderAuthorities(due);
    if (wanted === text) return due;

    const encoded = (value: string) => Buffer.from(value).toString('base64');
    const certs = due.map(({ cert }) => cert).join('');
    const data = { [ENTRY]: encoded(wanted), 'ca.crt': encoded(certs) };
    await client.replace(SECRETS, { ...object, apiVersion: 'v1', kind: 'Secret', data }, { signal });
    log.info('certificate authorities written', {
      secret: secret.name,
      before: known.length,
      now: due.length,
    });
    return due;
  }

  #renewLeaf(
    authorities: readonly Authority[],
    configurations: readonly WebhookConfiguration[],
    now: number,
  ): void {
    const { names, timing, onLeaf, log } = this.#options;
    // What only some configurations trust is not trusted yet.
    const trusted = authorities.filter(({ cert }) =>
      configurations.every(({ bundle }) => bundle?.includes(cert)),
    );
    const authority = signingAuthority(authorities, trusted, now, timing);
    if (authority === undefined) return;
    const current = this.#leaf;
    if (current?.authority.cert === authority.cert && now < current.renewAt) return;
    const validity = leafValidity(now, authority, timing);
    const notAfter = validity.notAfter.getTime();
    onLeaf(issueLeaf(authority, { names, validity }));
    this.#leaf = { authority, notAfter, renewAt: now + ((notAfter - now) * 2) / 3 };
    if (!trusted.includes(authority)) this.#trustedSince = undefined;
    log.info('serving certificate issued', { notAfter: validity.notAfter.toISOString() });
  }
}

function entryOf(secret: KubeObject): string {
  const data: unknown = secret['data'];
  if (typeof data !== 'object' || data === null || !(ENTRY in data)) return '';
  const encoded = (data as Record<string, unknown>)[ENTRY];
  return typeof encoded === 'string' ? Buffer.from(encoded, 'base64').toString('utf8') : '';
}
