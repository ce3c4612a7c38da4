import { writeFile } from 'node:fs/promises';

/** Writes the administrator's kubeconfig; JSON is YAML. @returns {Promise<string>} the file */
export async function writeKubeconfig(cluster, file) {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: cluster.url, 'certificate-authority': cluster.caFile } }],
    users: [{ name: 'admin', user: { token: cluster.adminToken } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}
