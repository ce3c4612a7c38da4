import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishedModule } from '../kubernetes/go-program.mjs';

/** What a kubelet has from some release on, as its published API tells (module k8s.io/kubelet; v0.19.0 is of 1.19). */
const BEGINS = [
  {
    gives: /^GetPreferredAllocation/,
    file: 'pkg/apis/deviceplugin/v1beta1/api.proto',
    names: /rpc GetPreferredAllocation\(/,
  },
  {
    gives: /^PodResources v1/,
    file: 'pkg/apis/podresources/v1/api.proto',
    names: /service PodResourcesLister /,
  },
  { gives: /^devices by CDI/, file: 'pkg/apis/deviceplugin/v1beta1/api.proto', names: /repeated CDIDevice / },
];

export const VERSIONS = {
  begin:
    'what docs/compatibility.md says of kubelets is in the API of that release, and not in the one before',
};

export async function versionChecks(ctx) {
  await ctx.check(VERSIONS.begin, async () => {
    const { rows } = JSON.parse(await readFile(join(ctx.root, 'docs', 'compatibility.json'), 'utf8'));
    const kubelets = rows.filter(({ part }) => part === 'kubelet');
    assert.equal(kubelets.length, BEGINS.length, 'a row without its proof');
    for (const { gives, file, names } of BEGINS) {
      const { since } = kubelets.find((row) => gives.test(row.gives));
      const minor = Number(since.split('.')[1]);
      const has = async (release) => {
        const folder = await publishedModule(ctx, `k8s.io/kubelet@v0.${release}.0`);
        return names.test(await readFile(join(folder, file), 'utf8').catch(() => ''));
      };
      assert.deepEqual([await has(minor - 1), await has(minor)], [false, true], `kubelet ${since}: ${gives}`);
    }
  });
}
