import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { eventually } from './eventually.mjs';
import { goModuleFolder } from './go-program.mjs';

const MODULE = 'kubevirt.io/kubevirt';
const SCHEMAS = 'pkg/virt-operator/resource/generate/components/validations_generated.go';

/**
 * KubeVirt's CRDs, with the schemas that the release in ../go/go.mod ships. virt-operator puts the objects together in
 * Go (components/crds.go) around those; its package can't be built here, because a module it needs is not published,
 * so the frame is repeated: names, versions, columns left out.
 * @param {import('../lib/context.mjs').Context} ctx @param {{ singular: string, plural: string, kind: string, shortNames: string[] }} names
 */
async function crdOf(ctx, names, versions) {
  const source = await readFile(join(await goModuleFolder(ctx, MODULE), SCHEMAS), 'utf8');
  const pattern = new RegExp(`\\n\\t"${names.singular}": \`(.*?)\`,\\n`, 's');
  const found = pattern.exec(source.replaceAll('` + "`" + `', '\u0000'));
  const { openAPIV3Schema } = parse(found[1].replaceAll('\u0000', '`'));
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${names.plural}.kubevirt.io`, labels: { 'kubevirt.io': '' } },
    spec: {
      group: 'kubevirt.io',
      scope: 'Namespaced',
      names: { ...names, categories: ['all'] },
      versions: versions.map((version) => ({ served: true, schema: { openAPIV3Schema }, ...version })),
    },
  };
}

/** Has no status subresource, as in KubeVirt. */
export function vmiCrd(ctx) {
  const names = {
    plural: 'virtualmachineinstances',
    singular: 'virtualmachineinstance',
    kind: 'VirtualMachineInstance',
    shortNames: ['vmi', 'vmis'],
  };
  return crdOf(ctx, names, [
    { name: 'v1', storage: true },
    { name: 'v1alpha3', storage: false },
  ]);
}

/** Installs it and waits until VMIs are served. @param {import('./cluster.mjs').Cluster} cluster */
export async function installVmiCrd(ctx, cluster) {
  await install(cluster, await vmiCrd(ctx));
}

/** The CRD of KubeVirt's own configuration. */
export async function installKubeVirtCrd(ctx, cluster) {
  const names = { plural: 'kubevirts', singular: 'kubevirt', kind: 'KubeVirt', shortNames: ['kv', 'kvs'] };
  await install(cluster, await crdOf(ctx, names, [{ name: 'v1', storage: true }]));
}

async function install(cluster, crd) {
  await cluster.admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  const { plural } = crd.spec.names;
  await eventually(`${plural} are served`, () => cluster.admin.get(`/apis/kubevirt.io/v1/${plural}`));
}
