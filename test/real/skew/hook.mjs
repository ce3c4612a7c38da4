import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program } from './program.mjs';

export const HOOK = {
  values:
    'what either version’s webhook handed over, either version’s hook writes into the domain: the same values',
};

export async function hookChecks(ctx, { versions, product, folder, handed }) {
  await ctx.check(HOOK.values, async () => {
    const domainXML = await readFile(join(ctx.root, 'src/cli/demo/two-gpu.domain.xml'));
    const written = {};
    for (const version of Object.keys(versions)) {
      const sockets = join(folder, `hook-${version}`);
      await mkdir(sockets);
      const hook = new Program(ctx, versions[version], ['hook', '--socket-dir', sockets]);
      await hook.says(/serving/);
      const client = product.unixClient(product.Callbacks, join(sockets, (await readdir(sockets))[0]));
      for (const [from, vmi] of Object.entries(handed)) {
        const request = { domainXML, vmi: Buffer.from(JSON.stringify(vmi)) };
        const answer = await client.call.onDefineDomain(request, { timeoutMs: 30_000 });
        written[`${version} hook, ${from} webhook`] = smmusOf(Buffer.from(answer.domainXML).toString());
      }
      client.close();
      assert.equal(await hook.end(), 0);
    }
    const [first, ...others] = Object.values(written);
    ctx.log(`${Object.keys(written).length} domains, each with ${first.join(' and ')}`);
    assert.ok(first.length > 0 && first.every((driver) => /accel=["']on["']/.test(driver)), `${first}`);
    for (const other of others) assert.deepEqual(other, first, JSON.stringify(written, undefined, 2));
  });
}

/** The vSMMUs' own elements, which hold every value. */
function smmusOf(domain) {
  return [...domain.matchAll(/<iommu model=["']smmuv3["']>\s*(<driver [^>]*>)/g)].map(([, driver]) => driver);
}
