// docs/configuration.md from the schema of the agent's configuration file.

/** @param {{ configSchema: any, ruleSchema: any, selectorSchema: any, fields: string[] }} parts @returns {string} */
export function configurationPage({ configSchema, ruleSchema, selectorSchema, fields }) {
  return [
    '# Configuration',
    '',
    'Generated from the schema in `src/kubelet/config/config-file.ts`. Everything else is configured by options:',
    "[command line](cli.md); of an installation in a cluster by the chart's [values](../charts/vsmmu/README.md#values).",
    '',
    '## AgentConfig',
    'The file of `vsmmu agent --config`, or `agent.config` of the chart. YAML; an unknown field is refused with its line.',
    '[Device plugin](device-plugin.md#configuration) explains it with an example.',
    '',
    ...table(configSchema),
    '',
    '### resources[]',
    ...table(ruleSchema),
    '',
    `Fields of a template: ${fields.map((field) => `\`{${field}}\``).join(', ')}. Those with a dash are suffixes, empty where the feature`,
    'is not known to be there.',
    '',
    '### select',
    'Each field takes one value or a list, of which any will do. Of several fields all must hold.',
    '',
    ...table(selectorSchema),
    '',
    '## Environment',
    '| variable | of | does |',
    '|---|---|---|',
    '| `NO_COLOR` | every command | turns colour off, whatever its value; so does `TERM=dumb` |',
    '| `KUBECONFIG` | commands about a cluster | files, as kubectl reads them |',
    '| `KUBERNETES_SERVICE_HOST`, `_PORT` | parts that run in a pod | where the API server is; the kubelet sets them |',
    '| `CONTAINER_NAME` | `vsmmu hook` | name of its socket; KubeVirt sets it |',
    '',
  ].join('\n');
}

function table({ shape }) {
  return [
    '| field | is |',
    '|---|---|',
    ...Object.entries(shape).map(([name, { description }]) => {
      if (description === undefined) throw new Error(`config-file.ts: ${name} has no description`);
      return `| \`${name}\` | ${description.replaceAll('|', '\\|')} |`;
    }),
  ];
}
