{{/* Combinations that cannot work, told before anything is created. */}}
{{- define "vsmmu.guards" -}}
{{- range $name, $image := dict "image" .Values.image "hook.image" .Values.hook.image }}
{{- if eq $image.tag "latest" }}
{{- fail (printf "%s.tag: \"latest\" changes under your feet; name a version or a digest" $name) }}
{{- end }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty; name the image you pushed" }}
{{- end }}
{{- if and (not .Values.hook.image.repository) (or .Values.hook.image.tag .Values.hook.image.digest .Values.hook.image.registry) }}
{{- fail "hook.image.repository is empty although hook.image names a registry, tag or digest; name the repository too" }}
{{- end }}
{{- if not (or .Values.agent.enabled .Values.webhook.enabled) }}
{{- fail "agent.enabled and webhook.enabled are both false: nothing is left to install" }}
{{- end }}
{{- include "vsmmu.webhookGuards" . }}
{{- if .Values.policies.onlyOurHook.enabled }}
{{- if not .Values.webhook.enabled }}
{{- fail "policies.onlyOurHook needs webhook.enabled: without the webhook no VMI has vsmmu's hook" }}
{{- end }}
{{- if not (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") }}
{{- fail "policies.onlyOurHook needs Kubernetes 1.30 or later (ValidatingAdmissionPolicy v1)" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vsmmu.webhookGuards" -}}
{{- if .Values.webhook.enabled }}
{{- $certificates := .Values.webhook.certificates }}
{{- if not .Values.webhook.deviceResources }}
{{- fail "webhook.deviceResources is empty: the webhook would serve nobody; set webhook.enabled=false instead" }}
{{- end }}
{{- if and (eq $certificates.mode "existing") (not $certificates.secretName) }}
{{- fail "webhook.certificates.mode is existing, so webhook.certificates.secretName must name the Secret" }}
{{- end }}
{{- if and (eq $certificates.mode "existing") (not (contains "BEGIN CERTIFICATE" $certificates.caBundle)) }}
{{- fail "webhook.certificates.mode is existing, so webhook.certificates.caBundle must hold the CA's certificate as PEM" }}
{{- end }}
{{- if and (ne $certificates.mode "existing") (or $certificates.secretName $certificates.caBundle) }}
{{- fail "webhook.certificates.secretName and caBundle are for mode existing only" }}
{{- end }}
{{- if and $certificates.issuerRef (ne $certificates.mode "cert-manager") }}
{{- fail "webhook.certificates.issuerRef is for mode cert-manager only" }}
{{- end }}
{{- if and (eq $certificates.mode "cert-manager") (not (.Capabilities.APIVersions.Has "cert-manager.io/v1")) }}
{{- fail "webhook.certificates.mode is cert-manager, and this cluster has no cert-manager.io/v1; install cert-manager first" }}
{{- end }}
{{- if le (int .Values.webhook.terminationGracePeriodSeconds) (int .Values.webhook.shutdownDelaySeconds) }}
{{- fail "webhook.terminationGracePeriodSeconds must be longer than webhook.shutdownDelaySeconds, or pods are killed while they serve" }}
{{- end }}
{{- if and .Values.webhook.podDisruptionBudget.enabled (eq (toString .Values.webhook.podDisruptionBudget.maxUnavailable) "0") }}
{{- fail "webhook.podDisruptionBudget.maxUnavailable 0 lets no node be drained" }}
{{- end }}
{{- end }}
{{- end }}
