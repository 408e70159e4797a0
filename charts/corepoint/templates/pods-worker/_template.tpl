{{/*
The base job template of the pool of isolated trials: files/base-job-template.json, with what only the release knows.
It is parsed and not templated: its braces are Prefect's.
*/}}
{{- define "corepoint.pods.template" -}}
{{- $template := .Files.Get "files/base-job-template.json" | fromJson -}}
{{- $set := dict
  "namespace" .Release.Namespace
  "instance" .Release.Name
  "version" .Chart.AppVersion
  "image" (include "corepoint.image" (list . "worker"))
  "image_pull_policy" .Values.images.worker.pullPolicy
  "service_account_name" (include "corepoint.fullname" .)
  "config_map_name" (printf "%s-config" (include "corepoint.fullname" .))
  "secret_name" (include "corepoint.secrets.name" .)
  "scratch_size" .Values.podIsolation.scratch
-}}
{{- range $name, $value := $set -}}
{{- $_ := set (index $template.variables.properties $name) "default" $value -}}
{{- end -}}
{{- $pod := $template.job_configuration.job_manifest.spec.template.spec -}}
{{- $_ := set (first $pod.containers) "env" (include "corepoint.env" (list (include "corepoint.env.trial" .)) | fromYamlArray) -}}
{{- with .Values.imagePullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- $_ := mergeOverwrite $pod (deepCopy .Values.podIsolation.podSpec) -}}
{{- toPrettyJson $template -}}
{{- end -}}

{{/* Secrets by reference: the Job's object shows none. What is plain comes from the ConfigMap and the template. */}}
{{- define "corepoint.env.trial" -}}
- name: COREPOINT_WORKER_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: COREPOINT_IMAGE
  value: {{ include "corepoint.image" (list . "worker") }}
{{ include "corepoint.env.secret" (list "COREPOINT_API_KEY" (include "corepoint.secrets.name" .) "worker-key") }}
{{ include "corepoint.env.objects" . }}
{{ include "corepoint.env.prefect" . }}
{{- end -}}

{{- define "corepoint.checksum.template" -}}
{{ include "corepoint.pods.template" . | sha256sum }}
{{- end -}}
