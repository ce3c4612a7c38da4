/** What the API server and etcd count themselves, since their start. */
export async function meters(cluster) {
  const [api, etcd] = [await cluster.admin.metrics(), await cluster.etcdMetrics()];
  const profiles = { group: 'vsmmu.io', resource: 'nodeprofiles' };
  return {
    /** Requests about NodeProfiles, watches apart, that changed something or not. */
    reads: sum(api, 'apiserver_request_total', { ...profiles, verb: /^(GET|LIST)$/ }),
    writes: sum(api, 'apiserver_request_total', { ...profiles, verb: /^(APPLY|PATCH|PUT|POST)$/ }),
    /** Watches that are open, of everything that vsmmu's programs follow. */
    watches: sum(api, 'apiserver_longrunning_requests', { verb: 'WATCH', resource: FOLLOWED }),
    /** Bytes of events about NodeProfiles that were sent to watchers. */
    sent: sum(api, 'apiserver_watch_events_sizes_sum', profiles),
    /** Bytes that were written as values and keys, and what the database's pages in use hold. */
    put: sum(etcd, 'etcd_debugging_mvcc_total_put_size_in_bytes'),
    inUse: sum(etcd, 'etcd_mvcc_db_total_size_in_use_in_bytes'),
  };
}

const FOLLOWED =
  /^(nodeprofiles|policies|baselines|nodes|namespaces|virtualmachineinstances|resourceclaims|resourceclaimtemplates|resourceslices|deviceclasses|secrets|leases)$/;

/** The sum of all series of a name whose labels are those wanted. */
function sum(text, name, wanted = {}) {
  let total = 0;
  for (const line of text.split('\n')) {
    const [, found, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    const has = Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, is]) => [key, is]));
    const fits = Object.entries(wanted).every(([key, is]) =>
      is instanceof RegExp ? is.test(has[key] ?? '') : has[key] === is,
    );
    if (fits) total += Number(value);
  }
  return total;
}
