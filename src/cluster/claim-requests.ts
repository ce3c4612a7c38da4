import * as z from 'zod';

import { DRA_DRIVER } from './dra-resources.js';
import type { KubeObject } from './resource.js';

/** One request of a ResourceClaim or ResourceClaimTemplate, as far as it tells whose devices it asks for. */
export interface ClaimRequest {
  readonly name: string;
  readonly classes: readonly string[];
  /** A selector of its own names our driver, or it was given a device of ours. */
  readonly ours: boolean;
}

const selectors = z.array(z.object({ cel: z.object({ expression: z.string() }).nullish() })).nullish();
const choice = z.object({ deviceClassName: z.string(), selectors });
/** resource.k8s.io/v1 ResourceClaimSpec (k8s.io/api/resource/v1). */
const specSchema = z.object({
  devices: z
    .object({
      requests: z
        .array(
          z.object({
            name: z.string(),
            exactly: choice.nullish(),
            firstAvailable: z.array(choice).nullish(),
          }),
        )
        .nullish(),
    })
    .nullish(),
});
const claimSchema = z.object({
  spec: specSchema,
  status: z
    .object({
      allocation: z
        .object({
          devices: z
            .object({
              results: z
                .array(
                  z.object({ request: z.string(), driver: z.string(), pool: z.string(), device: z.string() }),
                )
                .nullish(),
            })
            .nullish(),
        })
        .nullish(),
    })
    .nullish(),
});
const templateSchema = z.object({ spec: z.object({ spec: specSchema }) });
const classSchema = z.object({ spec: z.object({ selectors }) });

/** @throws ZodError where it is no ResourceClaim */
export function claimRequests(object: KubeObject): readonly ClaimRequest[] {
  const { spec, status } = claimSchema.parse(object);
  const results = status?.allocation?.devices?.results ?? [];
  const given = new Set(
    results.filter(({ driver }) => driver === DRA_DRIVER).map(({ request }) => request.split('/', 1)[0]),
  );
  return requestsOf(spec).map((request) => (given.has(request.name) ? { ...request, ours: true } : request));
}

/** A device of ours that a claim was given. */
export interface AllocatedDevice {
  /** Of the claim: "gpu". */
  readonly request: string;
  /** The node's name, as our driver names its pools. */
  readonly pool: string;
  readonly device: string;
}

/** @returns undefined where it was given nothing yet @throws ZodError where it is no ResourceClaim */
export function allocatedDevices(object: KubeObject): readonly AllocatedDevice[] | undefined {
  const results = claimSchema.parse(object).status?.allocation?.devices?.results;
  return results
    ?.filter(({ driver }) => driver === DRA_DRIVER)
    .map(({ request, pool, device }) => ({ request: request.split('/', 1)[0] ?? '', pool, device }));
}

/** @throws ZodError where it is no ResourceClaimTemplate */
export function templateRequests(object: KubeObject): readonly ClaimRequest[] {
  return requestsOf(templateSchema.parse(object).spec.spec);
}

/** @returns does a DeviceClass select devices of ours? @throws ZodError where it is none */
export function selectsOurDevices(object: KubeObject): boolean {
  return nameDriver(classSchema.parse(object).spec.selectors);
}

function requestsOf({ devices }: z.output<typeof specSchema>): readonly ClaimRequest[] {
  return (devices?.requests ?? []).map(({ name, exactly, firstAvailable }) => {
    const choices = [...(exactly == null ? [] : [exactly]), ...(firstAvailable ?? [])];
    return {
      name,
      classes: choices.map(({ deviceClassName }) => deviceClassName),
      ours: choices.some((one) => nameDriver(one.selectors)),
    };
  });
}

/**
 * The driver's name as a CEL text, as in `device.driver == "vsmmu.io"` or `device.attributes["vsmmu.io"].ats`.
 * `device.driver != "vsmmu.io"` selects everybody else's.
 */
const NAMES_DRIVER = new RegExp(`(?<!!=\\s{0,8})(["'])${DRA_DRIVER.replaceAll('.', '\\.')}\\1(?!\\s{0,8}!=)`);

function nameDriver(list: z.output<typeof selectors>): boolean {
  return (list ?? []).some(({ cel }) => cel != null && NAMES_DRIVER.test(cel.expression));
}
