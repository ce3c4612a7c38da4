import { parseBdf, type Bdf } from '../../bdf.js';

/** A device as the kubelet is told of it, and what it takes to hold its IOMMU group after a restart. */
export interface PreparedDevice {
  readonly request: string;
  readonly pool: string;
  readonly name: string;
  readonly bdf: Bdf;
  readonly iommuGroup: number;
  readonly cdiIds: readonly string[];
}

export interface PreparedClaim {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly devices: readonly PreparedDevice[];
}

export type PreparedClaims = ReadonlyMap<string, PreparedClaim>;

/** @returns undefined where the JSON is not what {@link preparedToJson} wrote. */
export function preparedFromJson(json: unknown): PreparedClaims | undefined {
  if (!Array.isArray(json)) return undefined;
  const claims = json.map((item: unknown) => claimFromJson(item));
  return claims.every((claim) => claim !== undefined)
    ? new Map(claims.map((claim) => [claim.uid, claim]))
    : undefined;
}

export function preparedToJson(claims: PreparedClaims): readonly PreparedClaim[] {
  return [...claims.values()];
}

function claimFromJson(json: unknown): PreparedClaim | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { uid, namespace, name, devices }: Partial<Record<keyof PreparedClaim, unknown>> = json;
  if (typeof uid !== 'string' || typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  if (!Array.isArray(devices)) return undefined;
  const read = devices.map((device: unknown) => deviceFromJson(device));
  return read.every((device) => device !== undefined) ? { uid, namespace, name, devices: read } : undefined;
}

function deviceFromJson(json: unknown): PreparedDevice | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { request, pool, name, bdf, iommuGroup, cdiIds }: Partial<Record<keyof PreparedDevice, unknown>> =
    json;
  if (typeof request !== 'string' || typeof pool !== 'string' || typeof name !== 'string') return undefined;
  if (typeof bdf !== 'string' || typeof iommuGroup !== 'number' || !isStrings(cdiIds)) return undefined;
  const address = parseBdf(bdf);
  return address && { request, pool, name, bdf: address, iommuGroup, cdiIds };
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
