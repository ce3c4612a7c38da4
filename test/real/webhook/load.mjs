import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';

const WRITERS = 8;

/**
 * Eight writers create VMIs of ours as fast as they are answered, while `act` does something to the webhook.
 * Not one may fail, nor be admitted without the patch.
 * @param {(name: string, options: object) => Promise<{ status: number, body: any }>} create
 * @param {(load: { readonly count: number, reached(more: number): Promise<unknown> }) => Promise<void>} act reached: waits for so many more answers
 * @returns {Promise<number>} how many there were
 */
export async function withLoad(create, act) {
  let count = 0;
  let stopped = false;
  const write = async (writer) => {
    const failures = [];
    for (let i = 0; !stopped; i++) {
      const { status, body } = await create(`load-${writer}-${i}`, { gpus: 1 });
      count++;
      const patched = body.metadata?.annotations?.['hooks.kubevirt.io/hookSidecars'] !== undefined;
      if (status !== 201 || !patched) failures.push(`${status} ${body.message ?? 'without the patch'}`);
    }
    return failures;
  };
  const writers = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  try {
    await act({
      get count() {
        return count;
      },
      reached: (more) => {
        const goal = count + more;
        return eventually(`${more} more admissions`, () => count >= goal, 120);
      },
    });
  } finally {
    stopped = true;
    await writers;
  }
  const failures = (await writers).flat();
  assert.equal(
    failures.length,
    0,
    `${failures.length} of ${count} failed: ${failures.slice(0, 5).join('; ')}`,
  );
  return count;
}
