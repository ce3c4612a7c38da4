import { describe, expect, test } from '@jest/globals';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';

import { createAuthority, issueLeaf } from './issue.js';

const HOUR = 3_600_000;
const now = Date.parse('2026-06-01T12:00:00Z');
const validity = { notBefore: new Date(now - HOUR), notAfter: new Date(now + 24 * HOUR) };

describe('an authority', () => {
  const ca = createAuthority('vsmmu webhook', validity);
  const cert = new X509Certificate(ca.cert);

  test('signs itself, may sign, and fits its key', () => {
    expect(cert.ca).toBe(true);
    expect(cert.subject).toBe('CN=vsmmu webhook');
    expect(cert.issuer).toBe(cert.subject);
    expect(cert.verify(createPublicKey(createPrivateKey(ca.key)))).toBe(true);
    expect(cert.checkPrivateKey(createPrivateKey(ca.key))).toBe(true);
    expect(cert.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  });

  test('has the validity asked for, to the second, before and after 2050', () => {
    expect(new Date(cert.validFrom)).toEqual(validity.notBefore);
    expect(new Date(cert.validTo)).toEqual(validity.notAfter);
    const late = { notBefore: new Date('2049-12-31T23:59:59Z'), notAfter: new Date('2050-01-01T00:00:00Z') };
    const lateCert = new X509Certificate(createAuthority('x', late).cert);
    expect([new Date(lateCert.validFrom), new Date(lateCert.validTo)]).toEqual([
      late.notBefore,
      late.notAfter,
    ]);
  });

  test('has another serial number and key each time', () => {
    const other = new X509Certificate(createAuthority('vsmmu webhook', validity).cert);
    expect(other.serialNumber).not.toBe(cert.serialNumber);
    expect(other.publicKey.equals(cert.publicKey)).toBe(false);
  });
});

describe('a leaf', () => {
  const ca = createAuthority('vsmmu webhook', validity);
  const names = ['vsmmu-webhook.vsmmu.svc', '127.0.0.1', '::1', 'fd00::1:2'];
  const leaf = issueLeaf(ca, { names, validity });
  const cert = new X509Certificate(leaf.cert);

  test('is signed by the authority, is none itself, and fits its key', () => {
    const authority = new X509Certificate(ca.cert);
    expect(cert.verify(authority.publicKey)).toBe(true);
    expect(cert.checkIssued(authority)).toBe(true);
    expect(cert.ca).toBe(false);
    expect(cert.checkPrivateKey(createPrivateKey(leaf.key))).toBe(true);
  });

  test('is valid for its names and addresses only', () => {
    expect(cert.checkHost('vsmmu-webhook.vsmmu.svc')).toBe('vsmmu-webhook.vsmmu.svc');
    expect(cert.checkHost('other.vsmmu.svc')).toBeUndefined();
    for (const address of ['127.0.0.1', '::1', 'fd00::1:2']) expect(cert.checkIP(address)).toBe(address);
    expect(cert.checkIP('127.0.0.2')).toBeUndefined();
  });

  test('is for servers, or for clients', () => {
    expect(cert.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    const client = issueLeaf(ca, { names: ['admin'], validity, usage: 'client' });
    expect(new X509Certificate(client.cert).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });
});
