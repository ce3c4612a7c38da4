// helm test: a VMI that asks for a device gets the hook, and one that asks for none is left alone.
import assert from 'node:assert/strict';
import { request } from 'node:https';

const { WEBHOOK_URL, DEVICE, HOOK_IMAGE, CA } = process.env;

const asking = await review({ gpus: [{ name: 'gpu', deviceName: DEVICE }] });
assert.equal(asking.allowed, true, `the webhook refused: ${JSON.stringify(asking.status)}`);
const patch = Buffer.from(asking.patch ?? '', 'base64').toString();
assert.ok(patch.includes(HOOK_IMAGE), `the patch does not name the hook ${HOOK_IMAGE}: ${patch}`);

const plain = await review({});
assert.equal(plain.allowed, true);
assert.equal(plain.patch, undefined, 'a VMI without devices was patched');
console.log(`ok: ${WEBHOOK_URL} gives VMIs with ${DEVICE} the hook ${HOOK_IMAGE}`);

function review(devices) {
  const body = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'helm-test',
      operation: 'CREATE',
      kind: { group: 'kubevirt.io', version: 'v1', kind: 'VirtualMachineInstance' },
      resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
      namespace: 'default',
      dryRun: true,
      userInfo: { username: 'helm-test' },
      object: {
        apiVersion: 'kubevirt.io/v1',
        kind: 'VirtualMachineInstance',
        metadata: { name: 'helm-test', namespace: 'default' },
        spec: { domain: { devices } },
      },
    },
  });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    request(WEBHOOK_URL, { method: 'POST', ca: CA, headers, timeout: 10_000 }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text).response);
        else reject(new Error(`${response.statusCode}: ${text}`));
      });
    })
      .on('timeout', () => reject(new Error('no answer within 10 s')))
      .on('error', reject)
      .end(body);
  });
}
