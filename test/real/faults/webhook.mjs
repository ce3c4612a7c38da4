import assert from 'node:assert/strict';
import { request } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { Authority } from '../kubernetes/certificates.mjs';
import { eventually } from '../kubernetes/eventually.mjs';

const REVIEWS = 400;
const AT_ONCE = 8;
export const DEADLINE_SECONDS = 10;

/** `vsmmu webhook` by itself, without a cluster. */
export async function startWebhook(ctx, folder) {
  const authority = await Authority.create(ctx, folder, 'ca');
  const [certificate, key] = ['tls.crt', 'tls.key'].map((name) => join(folder, name));
  await authority.issue({ certificate, key });
  const child = ctx.start(process.execPath, [
    ...[ctx.vsmmu, 'webhook', '--listen', '127.0.0.1:0', '--tls-cert', certificate, '--tls-key', key],
  ]);
  let address = '';
  child.stdout.on('data', (text) => (address += text));
  child.stderr.resume();
  await eventually('the webhook listens', () => address.includes('\n'), 60);
  return { child, port: Number(new URL(address.trim()).port), authority };
}

/** @returns {Promise<number[]>} milliseconds of each; any answer but a verdict throws */
export async function reviews(port, agent) {
  const body = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      operation: 'CREATE',
      resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
      object: {
        metadata: {},
        spec: { domain: { devices: { gpus: [{ name: 'g', deviceName: 'vsmmu.io/a' }] } } },
      },
    },
  });
  const took = [];
  const worker = async () => {
    while (took.length < REVIEWS) {
      const begun = performance.now();
      const { status, response } = await post(port, agent, body);
      assert.equal(status, 200);
      assert.equal(response.allowed, true);
      took.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return took;
}

function post(port, agent, body) {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host: '127.0.0.1', port, path: `/mutate?timeout=${DEADLINE_SECONDS}s`, method: 'POST', agent },
        headers: { 'content-type': 'application/json' },
      },
      (response) =>
        json(response).then((answer) => resolve({ status: response.statusCode, ...answer }), reject),
    );
    call.on('error', reject);
    call.end(body);
  });
}
