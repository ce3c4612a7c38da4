{{/* Names and labels. */}}

{{- define "vsmmu.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/*
A name with room for "-controller" in 63 characters. Helm lets releases have dots, a Service's name must not; what is cut
off is told by a hash, so that two long names stay two.
*/}}
{{- define "vsmmu.short" -}}
{{- $name := replace "." "-" . }}
{{- if gt (len $name) 50 }}
{{- printf "%s-%s" (trunc 41 $name | trimAll "-") (sha256sum $name | trunc 8) }}
{{- else }}
{{- trimAll "-" $name }}
{{- end }}
{{- end }}

{{- define "vsmmu.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- include "vsmmu.short" .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- include "vsmmu.short" .Release.Name }}
{{- else }}
{{- include "vsmmu.short" (printf "%s-%s" .Release.Name $name) }}
{{- end }}
{{- end }}

{{- define "vsmmu.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Cluster-wide names carry the namespace: two releases of one name may live in two namespaces. */}}
{{- define "vsmmu.clusterName" -}}
{{- if eq (include "vsmmu.namespace" .) (include "vsmmu.fullname" .) -}}
{{- include "vsmmu.fullname" . }}
{{- else -}}
{{- include "vsmmu.short" (printf "%s-%s" (include "vsmmu.fullname" .) (include "vsmmu.namespace" .)) }}
{{- end }}
{{- end }}

{{/* Labels by which workloads find their pods; they never change between versions. */}}
{{- define "vsmmu.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vsmmu.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "vsmmu.labels" -}}
{{ include "vsmmu.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vsmmu
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of a namespaced object: (dict "root" $ "component" "agent" "suffix" "-agent" "annotations" dict) */}}
{{- define "vsmmu.metadata" -}}
name: {{ include "vsmmu.fullname" .root }}{{ .suffix }}
namespace: {{ include "vsmmu.namespace" .root | quote }}
{{ include "vsmmu.metadataRest" . }}
{{- end }}

{{- define "vsmmu.clusterMetadata" -}}
name: {{ include "vsmmu.clusterName" .root }}{{ .suffix }}
{{ include "vsmmu.metadataRest" . }}
{{- end }}

{{- define "vsmmu.metadataRest" -}}
labels:
  {{- include "vsmmu.labels" . | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "vsmmu.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- default (printf "%s-%s" (include "vsmmu.fullname" .root) .component) $account.name }}
{{- end }}
