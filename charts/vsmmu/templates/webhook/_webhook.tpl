{{- define "vsmmu.certificateSecret" -}}
{{- if eq .Values.webhook.certificates.mode "existing" }}
{{- .Values.webhook.certificates.secretName }}
{{- else }}
{{- include "vsmmu.fullname" . }}-webhook-certificates
{{- end }}
{{- end }}

{{- define "vsmmu.webhookHost" -}}
{{ include "vsmmu.fullname" . }}-webhook.{{ include "vsmmu.namespace" . }}.svc
{{- end }}

{{/*
CEL: does the device request `d` name a resource that is served? The same rule as src/kubevirt/vmi-create.ts:
an entry that ends in "/" stands for a domain.
*/}}
{{- define "vsmmu.celServed" -}}
{{- $terms := list }}
{{- range .Values.webhook.deviceResources }}
{{- if hasSuffix "/" . }}
{{- $terms = append $terms (printf "d.deviceName.startsWith(%s)" (squote .)) }}
{{- else }}
{{- $terms = append $terms (printf "d.deviceName == %s" (squote .)) }}
{{- end }}
{{- end -}}
has(d.deviceName) && ({{ join " || " $terms }})
{{- end }}

{{/* CEL: does the VMI ask for a device that is served, or carry an annotation of ours? */}}
{{- define "vsmmu.celConcerned" -}}
(has(object.metadata.annotations) && ('vsmmu.io/require' in object.metadata.annotations || 'vsmmu.io/resolved' in object.metadata.annotations)) || {{ include "vsmmu.celAsks" . }}
{{- end }}

{{/* The same of a VMI that is created: a ResourceClaim's contents are out of CEL's sight, so any claim may be ours. */}}
{{- define "vsmmu.celMayBeConcerned" -}}
{{ include "vsmmu.celConcerned" . }}{{ if and .Values.agent.enabled .Values.agent.dra.enabled }} || {{ include "vsmmu.celDevices" (list "has(d.claimName)" "||") }}{{ end }}
{{- end }}

{{- define "vsmmu.celAsks" -}}
{{ include "vsmmu.celDevices" (list (include "vsmmu.celServed" .) "||") }}
{{- end }}

{{/* CEL: is there a device request `d` of which the condition holds in either list, or in both? (list condition "||") */}}
{{- define "vsmmu.celDevices" -}}
{{- $condition := index . 0 -}}
(has(object.spec) && has(object.spec.domain) && has(object.spec.domain.devices) && ((has(object.spec.domain.devices.gpus) && object.spec.domain.devices.gpus.exists(d, {{ $condition }})) {{ index . 1 }} (has(object.spec.domain.devices.hostDevices) && object.spec.domain.devices.hostDevices.exists(d, {{ $condition }}))))
{{- end }}

{{/* The webhook never stands in the way of its own pods, nor of the control plane's namespace. */}}
{{- define "vsmmu.namespaceSelector" -}}
{{- $own := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (list "kube-system" (include "vsmmu.namespace" .) | uniq) }}
{{- $selector := deepCopy .Values.webhook.namespaceSelector }}
{{- $_ := set $selector "matchExpressions" (append (default (list) $selector.matchExpressions) $own) }}
{{- toYaml $selector }}
{{- end }}

{{/* CEL: the value of our annotation in (object|oldObject), or "". */}}
{{- define "vsmmu.celResolved" -}}
{{ include "vsmmu.celAnnotation" (list . "vsmmu.io/resolved") }}
{{- end }}

{{/* CEL: the value of an annotation, or "": (list "object" "key") */}}
{{- define "vsmmu.celAnnotation" -}}
{{- $annotations := printf "%s.metadata.annotations" (index . 0) }}
{{- $key := squote (index . 1) -}}
(has({{ $annotations }}) && {{ $key }} in {{ $annotations }} ? {{ $annotations }}[{{ $key }}] : '')
{{- end }}

{{/* CEL: is the VMI not what the mutating webhook makes of most? The annotation is as the webhook writes it where nobody names another hook. */}}
{{- define "vsmmu.celUnsettled" -}}
{{- $hook := printf "[{\"image\":%s,\"imagePullPolicy\":%s,\"args\":%s}]" (include "vsmmu.hookImage" . | toJson) (include "vsmmu.hookPullPolicy" . | toJson) (concat (list "hook") .Values.hook.args | toJson) -}}
{{ include "vsmmu.celAnnotation" (list "object" "hooks.kubevirt.io/hookSidecars") }} != '{{ $hook }}' || {{ include "vsmmu.celResolved" "object" }} != '' || {{ include "vsmmu.celDevices" (list (include "vsmmu.celServed" .) "&&") }}
{{- end }}

{{/* What all webhooks have in common: (dict "root" $ "path" "/mutate" "operation" "CREATE" "caBundle" "...") */}}
{{- define "vsmmu.webhook" -}}
admissionReviewVersions: [v1]
sideEffects: None
matchPolicy: Equivalent
timeoutSeconds: {{ .root.Values.webhook.timeoutSeconds }}
clientConfig:
  {{- with .caBundle }}
  caBundle: {{ . }}
  {{- end }}
  service:
    name: {{ include "vsmmu.fullname" .root }}-webhook
    namespace: {{ include "vsmmu.namespace" .root | quote }}
    path: {{ .path }}
    port: 443
rules:
  - apiGroups: [kubevirt.io]
    apiVersions: [v1]
    resources: [virtualmachineinstances]
    operations: [{{ .operation }}]
    scope: Namespaced
namespaceSelector:
  {{- include "vsmmu.namespaceSelector" .root | nindent 2 }}
{{- with .root.Values.webhook.objectSelector }}
objectSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
