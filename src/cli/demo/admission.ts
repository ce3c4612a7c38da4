import { request } from 'node:https';
import { json } from 'node:stream/consumers';

import * as z from 'zod';

import { createAuthority, issueLeaf } from '../../admission/certificates/issue.js';
import { serveAdmission } from '../../admission/https-server.js';
import { mutateHandler } from '../../admission/mutate.js';
import { RESOLVED_ANNOTATION } from '../../kubevirt/annotations.js';
import { renderAnnotation } from '../../kubevirt/write-resolved.js';
import { DEFAULT_RESOURCES } from '../../kubevirt/vmi-create.js';
import type { HostFeatures } from '../../smmu/features.js';

const HOUR_MS = 3_600_000;

const answerSchema = z.object({
  response: z.object({ allowed: z.literal(true), patch: z.string().optional() }),
});
const patchSchema = z.array(z.object({ op: z.string(), path: z.string(), value: z.unknown() }));
export type Patch = z.output<typeof patchSchema>;

/** Sends a VMI to a real webhook over TLS 1.3, as the API server would, and returns the patch of its answer. */
export async function reviewVmi(vmi: unknown): Promise<Patch> {
  const validity = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + HOUR_MS) };
  const authority = createAuthority('vsmmu demo', validity);
  const server = await serveAdmission({
    host: '127.0.0.1',
    port: 0,
    certificate: issueLeaf(authority, { names: ['127.0.0.1'], validity }),
    handlers: {
      '/mutate': mutateHandler({
        resources: DEFAULT_RESOURCES,
        hook: { image: 'vsmmu:demo', imagePullPolicy: 'IfNotPresent' },
      }),
    },
  });
  try {
    const answer = answerSchema.parse(await post(server.port, authority.cert, admissionReview(vmi)));
    const patch = Buffer.from(answer.response.patch ?? '', 'base64').toString('utf8');
    return patchSchema.parse(patch === '' ? [] : JSON.parse(patch));
  } finally {
    await server.close(0);
  }
}

function post(port: number, ca: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({
      host: '127.0.0.1',
      port,
      path: '/mutate?timeout=10s',
      method: 'POST',
      ca,
      agent: false,
      headers: { 'content-type': 'application/json' },
    });
    call.on('response', (response) => {
      json(response).then(resolve, reject);
    });
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

function admissionReview(object: unknown): object {
  const kind = { group: 'kubevirt.io', version: 'v1', kind: 'VirtualMachineInstance' };
  const resource = { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' };
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'a1b2c3d4-0000-4000-8000-000000000001',
      kind,
      resource,
      name: 'two-gpu',
      namespace: 'demo',
      operation: 'CREATE',
      userInfo: { username: 'demo' },
      object,
    },
  };
}

const vmiSchema = z.looseObject({ metadata: z.looseObject({}) });

/** The VMI as it is once its node is known: with that node's values. */
export function annotated(vmi: unknown, features: HostFeatures, node: string): object {
  const parsed = vmiSchema.parse(vmi);
  const annotations = { [RESOLVED_ANNOTATION]: renderAnnotation(features, node) };
  return { ...parsed, metadata: { ...parsed.metadata, annotations }, status: { nodeName: node } };
}
