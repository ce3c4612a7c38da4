import { readFileSync } from 'node:fs';

import { featuresOf } from '../../src/host/features.js';
import { probeHost } from '../../src/host/probe.js';
import { openRecording } from '../../src/host/recording.js';
import { renderAnnotation } from '../../src/kubevirt/write-resolved.js';

/** The reviews of one VM's life, with the values of the demo's host. */
export async function reviewBodies(): Promise<{
  readonly all: readonly (readonly [string, string])[];
  readonly vmi: string;
}> {
  const host = featuresOf(await probeHost(await openRecording('src/cli/demo/two-gpu-host')));
  const vmi = JSON.parse(readFileSync('src/cli/demo/two-gpu.vmi.json', 'utf8')) as {
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  };
  const annotations = { ...vmi.metadata.annotations, 'vsmmu.io/resolved': renderAnnotation(host, 'gpu-1') };
  const resolved = { ...vmi, metadata: { ...vmi.metadata, annotations } };
  const handed = { ...vmi, status: { phase: 'Scheduled', nodeName: 'node-1' } };
  const review = (operation: string, object: unknown, oldObject?: unknown) =>
    JSON.stringify({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'soak',
        operation,
        resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
        namespace: 'default',
        name: 'vm',
        userInfo: { username: 'system:serviceaccount:kubevirt:kubevirt-controller' },
        object,
        oldObject,
      },
    });
  return {
    vmi: JSON.stringify(resolved),
    all: [
      ['/mutate', review('CREATE', vmi)],
      ['/mutate', review('UPDATE', handed, vmi)],
      ['/validate', review('UPDATE', handed, vmi)],
      ['/validate', review('CREATE', vmi)],
    ],
  };
}
