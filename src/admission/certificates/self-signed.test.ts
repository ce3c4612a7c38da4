import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { X509Certificate } from 'node:crypto';

import { sendJson, sendStatus, WireApiServer } from '../../../test/wire-api-server.js';
import { staticAccess } from '../../cluster/access.js';
import { KubeClient } from '../../cluster/kube-client.js';
import { errnoOf } from '../../errors.js';
import { silentLog } from '../../log/log.js';
import { type CertificateTiming, parseAuthorities, timingOf } from './authorities.js';
import type { KeyPair } from './issue.js';
import { SelfSignedCertificates } from './self-signed.js';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

interface Stored {
  metadata: { name: string; resourceVersion: string };
  [field: string]: unknown;
}

/** Objects of an API server: applied, replaced, with conflicts, as far as certificates need. */
class Store {
  readonly objects = new Map<string, Stored>();
  #version = 1;

  put(path: string, object: object): void {
    const metadata = (object as Stored).metadata;
    const resourceVersion = String(this.#version++);
    this.objects.set(path, { ...object, metadata: { ...metadata, resourceVersion } });
  }

  serve(wire: WireApiServer): void {
    wire.answer(({ method, path, body }, response) => {
      const sent = body === '' ? undefined : (JSON.parse(body) as Stored);
      const current = this.objects.get(path);
      if (method === 'POST')
        sendStatus(response, 403, 'Forbidden', 'no right can be kept to a name that is no path');
      else if (method !== 'PATCH' && current === undefined)
        sendStatus(response, 404, 'NotFound', 'it is not there');
      else if (method === 'PUT' && current?.metadata.resourceVersion !== sent?.metadata.resourceVersion)
        sendStatus(response, 409, 'Conflict', 'it was changed');
      else {
        if (sent !== undefined) this.put(path, { ...current, ...sent });
        sendJson(response, 200, this.objects.get(path));
      }
    });
  }
}

const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vsmmu';
const SECRET = '/api/v1/namespaces/ns/secrets/authorities';

let wire: WireApiServer;
let store: Store;
let clock: number;
let clients: KubeClient[];

beforeEach(async () => {
  wire = await WireApiServer.start();
  store = new Store();
  store.serve(wire);
  store.put(CONFIGURATION, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'vsmmu', labels: { stays: 'so' } },
    webhooks: [
      { name: 'a', clientConfig: { service: { name: 'w' } }, sideEffects: 'None' },
      { name: 'b', clientConfig: { service: { name: 'w' } } },
    ],
  });
  clock = Date.parse('2026-06-01T12:00:00Z');
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.close();
  await wire.stop();
});

interface Replica {
  readonly certificates: SelfSignedCertificates;
  leaf: KeyPair | undefined;
}

function replica(timing: CertificateTiming): Replica {
  const client = new KubeClient(staticAccess(wire.url, { ca: wire.ca }));
  clients.push(client);
  const made: { certificates?: SelfSignedCertificates; leaf: KeyPair | undefined } = { leaf: undefined };
  const certificates = new SelfSignedCertificates({
    client,
    secret: { name: 'authorities', namespace: 'ns' },
    names: ['w.ns.svc'],
    mutating: ['vsmmu'],
    validating: [],
    timing,
    onLeaf: (leaf) => (made.leaf = leaf),
    log: silentLog,
    now: () => clock,
  });
  made.certificates = certificates;
  return made as Replica;
}

const signal = new AbortController().signal;

/** As in a replica's loop: a conflict means that the other was faster. */
async function round({ certificates }: Replica): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await certificates.ensure(signal);
      return;
    } catch (error) {
      if (attempt === 10 || errnoOf(error) !== 'KUBE_CONFLICT') throw error;
    }
  }
}

function bundle(): string {
  const { webhooks } = store.objects.get(CONFIGURATION) as unknown as {
    webhooks: { clientConfig: { caBundle?: string } }[];
  };
  const [first, second] = webhooks.map(({ clientConfig }) => clientConfig.caBundle);
  expect(first).toBe(second);
  return Buffer.from(first ?? '', 'base64').toString();
}

function authorities() {
  const { data } = store.objects.get(SECRET) as unknown as { data: Record<string, string> };
  return parseAuthorities(Buffer.from(data['authorities.json'] ?? '', 'base64').toString());
}

/** Would a client that trusts `pem` talk to the replica at this moment? */
function trusts(pem: string, { leaf }: Replica): boolean {
  if (leaf === undefined) return false;
  const cert = new X509Certificate(leaf.cert);
  if (Date.parse(cert.validTo) <= clock || Date.parse(cert.validFrom) > clock) return false;
  return (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).some((text) => {
    const authority = new X509Certificate(text);
    return cert.verify(authority.publicKey) && Date.parse(authority.validTo) > clock;
  });
}

test('the first replica makes an authority, its leaf, and has the configuration trust it', async () => {
  const one = replica(timingOf());
  expect(one.certificates.missing()).toMatch(/no certificate/);
  await round(one);
  expect(trusts(bundle(), one)).toBe(true);
  expect(one.certificates.missing()).toMatch(/trust/);
  clock += SECOND;
  expect(one.certificates.missing()).toBeUndefined();
  expect(new X509Certificate(one.leaf!.cert).checkHost('w.ns.svc')).toBeDefined();
  expect(store.objects.get(CONFIGURATION)).toMatchObject({
    metadata: { labels: { stays: 'so' } },
    webhooks: [{ name: 'a', sideEffects: 'None', clientConfig: { service: { name: 'w' } } }, { name: 'b' }],
  });
});

test('two replicas that start at once agree on one authority', async () => {
  const both = [replica(timingOf()), replica(timingOf())];
  await Promise.all(both.map(round));
  await Promise.all(both.map(round));
  expect(authorities()).toHaveLength(1);
  for (const one of both) expect(trusts(bundle(), one)).toBe(true);
});

test('nothing is written while nothing is due', async () => {
  const one = replica(timingOf());
  await round(one);
  await round(one);
  wire.received.length = 0;
  clock += DAY;
  await round(one);
  expect(wire.received.map(({ method }) => method)).toEqual(['GET', 'GET']);
});

describe('rotation', () => {
  test('over three lives of an authority, no replica ever has a leaf that an API server does not trust', async () => {
    const timing = timingOf(30 * DAY, 6 * DAY);
    const replicas = [replica(timing), replica(timing)];
    for (const one of replicas) await round(one);
    // An API server that learns of a new bundle only when it has stood for nearly as long as leaves wait for it.
    const lag = timing.settleMs * 0.9;
    const history: { at: number; pem: string }[] = [{ at: clock - lag, pem: bundle() }];
    const seen = new Set<string>();
    const end = clock + 90 * DAY;
    while (clock < end) {
      const near = authorities().some(({ createdAt }) => clock - createdAt < 4 * timing.settleMs);
      clock += near ? timing.settleMs / 3 : DAY;
      for (const one of replicas) {
        await round(one);
        const now = bundle();
        if (history.at(-1)?.pem !== now) history.push({ at: clock, pem: now });
        seen.add(now);
        const stale = history.findLast(({ at }) => at <= clock - lag) ?? history[0]!;
        for (const each of replicas) {
          expect(trusts(now, each)).toBe(true);
          expect(trusts(stale.pem, each)).toBe(true);
        }
      }
    }
    expect(seen.size).toBeGreaterThanOrEqual(6);
    expect(authorities().length).toBeLessThanOrEqual(2);
    // Some hundred rounds over HTTPS: seconds, and many of them on a busy machine.
  }, 120_000);

  test('a leaf never outlives its authority', async () => {
    const timing = timingOf(10 * DAY, 9 * DAY);
    const one = replica(timing);
    for (let day = 0; day < 30; day++) {
      await round(one);
      const [issuer] = authorities().filter(
        ({ cert }) =>
          new X509Certificate(one.leaf!.cert).checkIssued(new X509Certificate(cert)) &&
          new X509Certificate(one.leaf!.cert).verify(new X509Certificate(cert).publicKey),
      );
      expect(Date.parse(new X509Certificate(one.leaf!.cert).validTo)).toBeLessThanOrEqual(issuer!.notAfter);
      clock += DAY;
    }
  });
});

describe('recovery', () => {
  const spoilings: [string, () => void][] = [
    ['deleted', () => store.objects.delete(SECRET)],
    ['emptied', () => store.put(SECRET, { metadata: { name: 'authorities', namespace: 'ns' }, data: {} })],
    [
      'garbage',
      () =>
        store.put(SECRET, {
          metadata: { name: 'authorities', namespace: 'ns' },
          data: { 'authorities.json': 'AAAA' },
        }),
    ],
  ];
  test.each(spoilings)(
    'a Secret %s is written again from memory, and the running replica stays trusted',
    async (_, spoil) => {
      const one = replica(timingOf());
      await round(one);
      const before = bundle();
      spoil();
      await round(one);
      expect(bundle()).toBe(before);
      expect(authorities()).toHaveLength(1);
    },
  );

  test.each(spoilings)(
    'a Secret %s while only a new replica looks: the old one stays trusted all the time',
    async (_, spoil) => {
      const old = replica(timingOf());
      await round(old);
      spoil();
      const young = replica(timingOf());
      await round(young);
      expect([trusts(bundle(), old), trusts(bundle(), young)]).toEqual([true, true]);
      await round(old);
      await round(young);
      expect([trusts(bundle(), old), trusts(bundle(), young)]).toEqual([true, true]);
    },
  );

  test('an authority that expired while nobody looked is replaced at once', async () => {
    const one = replica(timingOf());
    await round(one);
    clock += 400 * DAY;
    expect(one.certificates.missing()).toMatch(/expired/);
    await round(one);
    await round(one);
    expect(trusts(bundle(), one)).toBe(true);
    expect(authorities()).toHaveLength(1);
  });

  test.each([
    ['back', -3650],
    ['forward', 3650],
  ])('a clock that was set %s ten years makes new certificates, not ever more of them', async (_, days) => {
    const one = replica(timingOf());
    await round(one);
    clock += days * DAY;
    for (let again = 0; again < 5; again++) await round(one);
    expect(trusts(bundle(), one)).toBe(true);
    expect(authorities()).toHaveLength(1);
    clock -= days * DAY;
    for (let again = 0; again < 5; again++) await round(one);
    expect(trusts(bundle(), one)).toBe(true);
    expect(authorities().length).toBeLessThanOrEqual(2);
  });

  test('a machine that was suspended: what is due is found by the wall clock within ten seconds, whatever a timer slept', async () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 20 * 365 * 86_400 }),
        fc.integer({ min: 60, max: 365 * 86_400 }),
        (ca, leaf) => {
          // Timers stand still while the machine does; the longest a poll can be late after that is one pause.
          expect(timingOf(ca * SECOND, leaf * SECOND).pollMs).toBeLessThanOrEqual(10 * SECOND);
        },
      ),
    );
    const one = replica(timingOf());
    await round(one);
    clock += 6 * DAY; // no timer ran; the leaf has lived six of its seven days
    await round(one);
    expect(Date.parse(new X509Certificate(one.leaf!.cert).validTo) - clock).toBeGreaterThan(6 * DAY);
  });

  test('a bundle that somebody emptied is put back', async () => {
    const one = replica(timingOf());
    await round(one);
    const configuration = structuredClone(store.objects.get(CONFIGURATION)!) as unknown as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
    for (const { clientConfig } of configuration.webhooks) delete clientConfig.caBundle;
    store.put(CONFIGURATION, configuration);
    await round(one);
    expect(trusts(bundle(), one)).toBe(true);
  });

  test('a configuration that is not there yet is waited for, with a reason', async () => {
    store.objects.delete(CONFIGURATION);
    const one = replica(timingOf());
    await expect(round(one)).rejects.toMatchObject({ code: 'KUBE_NOT_FOUND' });
    expect(one.certificates.missing()).toMatch(/no certificate/);
  });
});
