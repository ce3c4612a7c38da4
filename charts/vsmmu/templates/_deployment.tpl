{{/* Where pods of a Deployment go: off each other's nodes and zones, where nobody says otherwise. */}}
{{- define "vsmmu.deploymentPlacement" -}}
{{- $component := . }}
{{- $part := index .root.Values .component }}
affinity:
  {{- with $part.affinity }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "vsmmu.selectorLabels" $component | nindent 14 }}
      - weight: 50
        podAffinityTerm:
          topologyKey: topology.kubernetes.io/zone
          labelSelector:
            matchLabels:
              {{- include "vsmmu.selectorLabels" $component | nindent 14 }}
  {{- end }}
{{- with $part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "vsmmu.selectorLabels" $component | fromYaml)) }}
  - {{- toYaml (merge (dict) . $own) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
