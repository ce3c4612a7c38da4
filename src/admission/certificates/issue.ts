import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';

import {
  bitString,
  boolean,
  type Der,
  explicit,
  implicit,
  objectIdentifier,
  octetString,
  sequence,
  set,
  time,
  unsignedInteger,
  utf8String,
} from './der.js';

/** A certificate with its private key, both PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Object identifiers of RFC 5280 and RFC 5480. */
const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  subjectAltName: '2.5.29.17',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
} as const;

/** KeyUsage bits, RFC 5280 section 4.2.1.3: the byte, and its unused low bits. */
const USAGE_CERT_SIGN = bitString(Buffer.from([0b0000_0110]), 1);
const USAGE_DIGITAL_SIGNATURE = bitString(Buffer.from([0b1000_0000]), 7);

/**
 * A self-signed certificate authority that can sign leaves only, on ECDSA P-256: signing with it costs a tenth of
 * RSA-2048, and the API server opens many connections.
 */
export function createAuthority(commonName: string, validity: Validity): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identifier = keyIdentifier(publicKey);
  const extensions = [
    extension(OID.basicConstraints, true, sequence(boolean(true), unsignedInteger(Buffer.from([0])))),
    extension(OID.keyUsage, true, USAGE_CERT_SIGN),
    extension(OID.subjectKeyIdentifier, false, octetString(identifier)),
    extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, identifier))),
  ];
  const subject = name(commonName);
  return {
    cert: certificate({ issuer: subject, subject, publicKey, validity, extensions, signingKey: privateKey }),
    key: pkcs8(privateKey),
  };
}

export interface LeafRequest {
  /** DNS names and IP addresses it is valid for; the first is its common name. */
  readonly names: readonly string[];
  readonly validity: Validity;
  /** Default: a TLS server. */
  readonly usage?: 'server' | 'client';
}

/** A leaf certificate with a fresh P-256 key, signed by `authority`. */
export function issueLeaf(authority: KeyPair, { names, validity, usage = 'server' }: LeafRequest): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signingKey = createPrivateKey(authority.key);
  const purpose = usage === 'server' ? OID.serverAuth : OID.clientAuth;
  const extensions = [
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, USAGE_DIGITAL_SIGNATURE),
    extension(OID.extendedKeyUsage, false, sequence(objectIdentifier(purpose))),
    extension(OID.subjectAltName, false, sequence(...names.map(generalName))),
    extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(publicKey))),
    extension(
      OID.authorityKeyIdentifier,
      false,
      sequence(implicit(0, keyIdentifier(createPublicKey(signingKey)))),
    ),
  ];
  const issuer = subjectOf(authority.cert);
  return {
    cert: certificate({ issuer, subject: name(names[0] ?? ''), publicKey, validity, extensions, signingKey }),
    key: pkcs8(privateKey),
  };
}

interface CertificateFields {
  readonly issuer: Der;
  readonly subject: Der;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Der[];
  readonly signingKey: KeyObject;
}

/** RFC 5280 section 4.1, version 3. */
function certificate(fields: CertificateFields): string {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256));
  const body = sequence(
    explicit(0, unsignedInteger(Buffer.from([2]))),
    unsignedInteger(serialNumber()),
    algorithm,
    fields.issuer,
    sequence(time(fields.validity.notBefore), time(fields.validity.notAfter)),
    fields.subject,
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...fields.extensions)),
  );
  const signature = sign('sha256', body, fields.signingKey);
  return pem('CERTIFICATE', sequence(body, algorithm, bitString(signature)));
}

/** 127 random bits: positive, unguessable, and within the 20 bytes that RFC 5280 allows. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

function name(commonName: string): Der {
  return sequence(set(sequence(objectIdentifier(OID.commonName), utf8String(commonName.slice(0, 64)))));
}

/** Authorities here have one common name, made by {@link name}; written again it has the same bytes. */
function subjectOf(cert: string): Der {
  return name(new X509Certificate(cert).subject.replace(/^CN=/, ''));
}

function extension(oid: string, critical: boolean, value: Der): Der {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** GeneralName: [2] dNSName, [7] iPAddress. */
function generalName(text: string): Der {
  const family = isIP(text);
  if (family === 4) return implicit(7, Buffer.from(text.split('.').map(Number)));
  if (family === 6) return implicit(7, ipv6Bytes(text));
  return implicit(2, Buffer.from(text, 'latin1'));
}

function ipv6Bytes(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = groups(tail ?? '');
  const middle = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...middle, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public key's bits, an identifier and not a proof. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  // An uncompressed P-256 point is the last 65 bytes of its SubjectPublicKeyInfo.
  return createHash('sha1').update(spki.subarray(-65)).digest();
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function pem(label: string, der: Der): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
