import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as z from 'zod';

import { createAuthority, type KeyPair } from './issue.js';

/** A certificate authority with its place in time, milliseconds since the epoch. */
export interface Authority extends KeyPair {
  readonly createdAt: number;
  readonly notAfter: number;
}

/** All in milliseconds. */
export interface CertificateTiming {
  readonly caLifeMs: number;
  readonly leafLifeMs: number;
  /** How long a new authority stands in the bundle before a leaf of it serves: API servers learn of it meanwhile. */
  readonly settleMs: number;
  /** How long an authority stays trusted after its successor came. */
  readonly retainMs: number;
  readonly pollMs: number;
}

const DAY = 24 * 3_600_000;

/** What is derived from the two lives; at a hundredth of them everything goes a hundred times as fast. */
export function timingOf(caLifeMs = 180 * DAY, leafLifeMs = 7 * DAY): CertificateTiming {
  return {
    caLifeMs,
    leafLifeMs,
    settleMs: Math.min(60_000, caLifeMs / 20),
    retainMs: caLifeMs / 5,
    pollMs: Math.min(10_000, leafLifeMs / 20, caLifeMs / 60),
  };
}

/** Certificates are valid from an hour ago: clocks of a cluster differ. */
const BACKDATED_MS = 3_600_000;

export function newAuthority(now: number, { caLifeMs }: CertificateTiming): Authority {
  const notAfter = now + caLifeMs;
  const validity = { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(notAfter) };
  return { ...createAuthority('vsmmu webhook', validity), createdAt: now, notAfter };
}

export function leafValidity(now: number, authority: Authority, { leafLifeMs }: CertificateTiming) {
  const notAfter = Math.min(now + leafLifeMs, authority.notAfter);
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(notAfter) };
}

const stored = z.array(z.object({ cert: z.string(), key: z.string(), createdAt: z.number() })).max(16);

/** Those of a Secret's text that can be used; nothing in there is taken on trust. */
export function parseAuthorities(text: string): Authority[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return [];
  }
  const parsed = stored.safeParse(json);
  return parsed.success ? parsed.data.flatMap((one) => checked(one) ?? []) : [];
}

export function renderAuthorities(authorities: readonly Authority[]): string {
  return JSON.stringify(authorities.map(({ cert, key, createdAt }) => ({ cert, key, createdAt })));
}

function checked(pair: KeyPair & { readonly createdAt: number }): Authority | undefined {
  try {
    const cert = new X509Certificate(pair.cert);
    if (!cert.ca || !cert.checkPrivateKey(createPrivateKey(pair.key))) return undefined;
    return { ...pair, notAfter: Date.parse(cert.validTo) };
  } catch {
    return undefined;
  }
}

/**
 * The authorities as they should be now, oldest first: expired ones go, so do those whose successor has long been
 * trusted, and a successor comes when the newest has lived two thirds of its life.
 *
 * @param mine the authority that this replica's leaf is signed with; it stays, whatever happened to the Secret
 */
export function dueAuthorities(
  known: readonly Authority[],
  mine: Authority | undefined,
  now: number,
  timing: CertificateTiming,
): Authority[] {
  const all = new Map([...known, ...(mine === undefined ? [] : [mine])].map((one) => [one.cert, one]));
  const valid = [...all.values()]
    .filter((one) => isValid(one, now))
    .sort((a, b) => a.createdAt - b.createdAt);
  const kept = valid.filter((one, index) => {
    const successor = valid[index + 1];
    return successor === undefined || now - successor.createdAt < timing.retainMs || one.cert === mine?.cert;
  });
  const newest = kept.at(-1);
  const due = newest === undefined || newest.notAfter - now < timing.caLifeMs / 3;
  return due ? [...kept, newAuthority(now, timing)] : kept;
}

/** Not yet valid: the clock was set back, and nobody with the same clock would believe it. */
function isValid({ createdAt, notAfter }: Authority, now: number): boolean {
  return createdAt - BACKDATED_MS <= now && now < notAfter;
}

/**
 * Which authority signs leaves: the newest that API servers surely trust by now, else the oldest. A leaf of an
 * authority that came a moment ago fails with every API server that has not read the new bundle.
 *
 * @param trusted those that every webhook configuration trusts at this moment
 */
export function signingAuthority(
  authorities: readonly Authority[],
  trusted: readonly Authority[],
  now: number,
  { settleMs }: CertificateTiming,
): Authority | undefined {
  const settled = trusted.filter(({ createdAt }) => now - createdAt >= settleMs);
  return settled.at(-1) ?? authorities[0];
}

/**
 * The PEM bundle of what webhook configurations are to trust. While the newest authority is young, what they trust
 * already stays too: it may be another replica's, whose Secret was deleted a moment ago.
 *
 * @param present what a configuration trusts now
 */
export function bundleOf(
  authorities: readonly Authority[],
  present: string,
  now: number,
  { retainMs }: CertificateTiming,
): string {
  const certs = authorities.map(({ cert }) => cert);
  const newest = authorities.at(-1);
  const young = newest !== undefined && now - newest.createdAt < retainMs;
  const strangers = young
    ? certificatesIn(present).filter((cert) => !certs.includes(cert) && !isExpired(cert, now))
    : [];
  return [...strangers, ...certs].join('');
}

function certificatesIn(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

function isExpired(cert: string, now: number): boolean {
  try {
    return Date.parse(new X509Certificate(cert).validTo) <= now;
  } catch {
    return true;
  }
}
