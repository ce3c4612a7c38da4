import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { eventually } from './eventually.mjs';
import { goModuleFolder } from './go-program.mjs';

const MODULE = 'kubevirt.io/kubevirt';
const SCHEMAS = 'pkg/virt-operator/resource/generate/components/validations_generated.go';

/**
 * KubeVirt's VirtualMachineInstance CRD, with the schema that the release in ../go/go.mod ships. virt-operator puts the
 * object together in Go (components/crds.go) around that schema; its package can't be built here, because a module it
 * needs is not published, so the frame is repeated: names, versions, no status subresource, columns left out.
 * @param {import('../lib/context.mjs').Context} ctx
 */
export async function vmiCrd(ctx) {
  const source = await readFile(join(await goModuleFolder(ctx, MODULE), SCHEMAS), 'utf8');
  const found = /\n\t"virtualmachineinstance": `(.*?)`,\n/s.exec(source.replaceAll('` + "`" + `', '\u0000'));
  const { openAPIV3Schema } = parse(found[1].replaceAll('\u0000', '`'));
  const version = (name, storage) => ({ name, served: true, storage, schema: { openAPIV3Schema } });
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'virtualmachineinstances.kubevirt.io', labels: { 'kubevirt.io': '' } },
    spec: {
      group: 'kubevirt.io',
      scope: 'Namespaced',
      names: {
        plural: 'virtualmachineinstances',
        singular: 'virtualmachineinstance',
        kind: 'VirtualMachineInstance',
        shortNames: ['vmi', 'vmis'],
        categories: ['all'],
      },
      versions: [version('v1', true), version('v1alpha3', false)],
    },
  };
}

/** Installs it and waits until VMIs are served. @param {import('./cluster.mjs').Cluster} cluster */
export async function installVmiCrd(ctx, cluster) {
  await cluster.admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', await vmiCrd(ctx));
  await eventually('VMIs are served', () =>
    cluster.admin.get('/apis/kubevirt.io/v1/virtualmachineinstances'),
  );
}
