// Stands in for @kubernetes/client-node in the image: every part of a cluster uses its pod's own account, and what reads
// a person's kubeconfig (exec plugins, OIDC) would be most of the image's packages.
export class KubeConfig {
  loadFromDefault() {
    throw new Error('this image reads no kubeconfig, only the account of its pod');
  }

  loadFromFile() {
    this.loadFromDefault();
  }
}
