import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { eventually } from '../kubernetes/eventually.mjs';
import { publishedModule } from '../kubernetes/go-program.mjs';

/** CRDs of others whose objects the chart makes, as their Go modules ship them. */
const SOURCES = [
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    files: ['deploy/crds/cert-manager.io_certificates.yaml', 'deploy/crds/cert-manager.io_issuers.yaml'],
  },
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    files: ['podmonitors', 'servicemonitors', 'prometheusrules'].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
];

/** @param {import('../lib/context.mjs').Context} ctx @param {import('../kubernetes/cluster.mjs').Cluster} cluster */
export async function installModuleCrds(ctx, cluster) {
  for (const { module, files } of SOURCES) {
    const folder = await publishedModule(ctx, module);
    for (const file of files) {
      const text = await readFile(join(folder, file), 'utf8');
      const crds = parseAllDocuments(text).map((document) => document.toJS());
      for (const crd of crds.filter((object) => object?.kind === 'CustomResourceDefinition')) {
        await cluster.admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
        const { group, versions, names } = crd.spec;
        const served = `/apis/${group}/${versions.find((version) => version.served).name}/${names.plural}`;
        await eventually(`${served} is served`, () => cluster.admin.get(served));
      }
    }
  }
}
