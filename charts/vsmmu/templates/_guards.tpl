{{/* Combinations that cannot work, told before anything is created. */}}
{{- define "vsmmu.guards" -}}
{{- range $name, $image := dict "image" .Values.image "hook.image" .Values.hook.image }}
{{- if and (eq $image.tag "latest") (not $image.digest) }}
{{- fail (printf "%s.tag: \"latest\" changes under your feet; name a version or a digest" $name) }}
{{- end }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty; name the image you pushed" }}
{{- end }}
{{- if and (not .Values.hook.image.repository) (or .Values.hook.image.tag .Values.hook.image.digest .Values.hook.image.registry) }}
{{- fail "hook.image.repository is empty although hook.image names a registry, tag or digest; name the repository too" }}
{{- end }}
{{- if not (or .Values.agent.enabled .Values.webhook.enabled .Values.controller.enabled) }}
{{- fail "agent.enabled, webhook.enabled and controller.enabled are all false: nothing is left to install" }}
{{- end }}
{{- if and .Values.webhook.enabled .Values.hook.requireDigest (not (contains "@sha256:" (include "vsmmu.hookImage" .))) }}
{{- fail (printf "hook.requireDigest is set, and the hook's image %s has no digest: set image.digest, or hook.image.repository and hook.image.digest" (include "vsmmu.hookImage" .)) }}
{{- end }}
{{- include "vsmmu.webhookGuards" . }}
{{- include "vsmmu.presetGuards" . }}
{{- if .Values.policies.onlyOurHook.enabled }}
{{- if not .Values.webhook.enabled }}
{{- fail "policies.onlyOurHook needs webhook.enabled: without the webhook no VMI has vsmmu's hook" }}
{{- end }}
{{- if not (include "vsmmu.hasPolicies" .) }}
{{- fail "policies.onlyOurHook needs Kubernetes 1.30 or later (ValidatingAdmissionPolicy v1)" }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Has the cluster ValidatingAdmissionPolicies (v1)? Told by its version: "helm template" knows no cluster's kinds, and would
leave out without a word what protects it.
*/}}
{{- define "vsmmu.hasPolicies" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}true{{ end }}
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
{{- end }}
{{- range $part := list "webhook" "controller" }}
{{- $budget := (index $.Values $part).podDisruptionBudget }}
{{- if and $budget.enabled (has (toString $budget.maxUnavailable) (list "0" "0%")) }}
{{- fail (printf "%s.podDisruptionBudget.maxUnavailable %v lets no node be drained" $part $budget.maxUnavailable) }}
{{- end }}
{{- end }}
{{- if and (or .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled .Values.monitoring.prometheusRule.enabled) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
{{- fail "monitoring needs a Prometheus operator, and this cluster has no monitoring.coreos.com/v1" }}
{{- end }}
{{- if and .Values.agent.dra.enabled (not (.Capabilities.APIVersions.Has "resource.k8s.io/v1")) }}
{{- fail "agent.dra needs Kubernetes 1.34 or later (resource.k8s.io/v1)" }}
{{- end }}
{{- if and .Values.webhook.enabled (not .Values.agent.profile.enabled) .Values.agent.enabled }}
{{- fail "webhook.enabled needs agent.profile.enabled: the values it hands over come from NodeProfiles" }}
{{- end }}
{{- end }}

{{- define "vsmmu.presetGuards" -}}
{{- $wanted := list }}
{{- range $name, $on := .Values.policyPresets }}{{ if $on }}{{ $wanted = append $wanted $name }}{{ end }}{{ end }}
{{- if and $wanted (not (.Capabilities.APIVersions.Has "vsmmu.io/v1alpha1/Policy")) }}
{{- fail (printf "policyPresets.%s needs the CRD of Policy, which this cluster has not yet: kubectl apply --server-side -f charts/vsmmu/files/crds, or install without presets and set them by helm upgrade" (first $wanted)) }}
{{- end }}
{{- if and $wanted (not (and .Values.webhook.enabled .Values.webhook.policies)) }}
{{- fail "policyPresets need webhook.enabled and webhook.policies: it is the webhook that applies policies" }}
{{- end }}
{{- end }}
