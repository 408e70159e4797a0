{{/*
A list of YAML lists of environment variables as one list, in order; a later one of the same name wins in the place
of the first. Twice the same name is an error of server-side apply, which Helm 4 uses.
*/}}
{{- define "corepoint.env" -}}
{{- $names := list -}}
{{- $known := dict -}}
{{- range . -}}
{{- range (. | default "[]" | fromYamlArray) -}}
{{- if not (hasKey $known .name) -}}{{- $names = append $names .name -}}{{- end -}}
{{- $_ := set $known .name . -}}
{{- end -}}
{{- end -}}
{{- $all := list -}}
{{- range $names -}}{{- $all = append $all (index $known .) -}}{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* (list name secret key): one variable from a Secret */}}
{{- define "corepoint.env.secret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{- end -}}

{{/* (list root variable role driver): the URL of a role's database, whole from a Secret or made of its password */}}
{{- define "corepoint.env.url" -}}
{{- $root := index . 0 -}}
{{- $role := index . 2 -}}
{{- $external := $root.Values.postgres.external -}}
{{- if $root.Values.postgres.enabled -}}
{{ include "corepoint.env.secret" (list (index . 1) (include "corepoint.secrets.name" $root) (printf "%s-database-url" $role)) }}
{{- else if $external.host -}}
{{- $ssl := ternary "ssl" "sslmode" (contains "asyncpg" (index . 3)) -}}
{{ include "corepoint.env.secret" (list "DATABASE_PASSWORD" $external.existingSecret (printf "%s-database-password" $role)) }}
- name: {{ index . 1 }}
  value: {{ printf "%s://%s:$(DATABASE_PASSWORD)@%s:%v/%s?%s=%s" (index . 3) (index $external.users $role) $external.host $external.port (index $external.databases $role) $ssl $external.sslmode | quote }}
{{- else -}}
{{ include "corepoint.env.secret" (list (index . 1) $external.existingSecret (printf "%s-database-url" $role)) }}
{{- end -}}
{{- end -}}

{{- define "corepoint.env.database" -}}
{{ include "corepoint.env.url" (list . "COREPOINT_DATABASE__URL" "corepoint" "postgresql+asyncpg") }}
{{- end -}}

{{/* (list root access-variable secret-variable): keys of the object store; none where a pod identity is used */}}
{{- define "corepoint.env.s3keys" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.minio.enabled -}}
{{ include "corepoint.env.secret" (list (index . 1) (include "corepoint.secrets.name" $root) "minio-access-key") }}
{{ include "corepoint.env.secret" (list (index . 2) (include "corepoint.secrets.name" $root) "minio-secret-key") }}
{{- else if $root.Values.minio.external.existingSecret -}}
{{ include "corepoint.env.secret" (list (index . 1) $root.Values.minio.external.existingSecret "access-key") }}
{{ include "corepoint.env.secret" (list (index . 2) $root.Values.minio.external.existingSecret "secret-key") }}
{{- end -}}
{{- end -}}

{{- define "corepoint.env.objects" -}}
{{ include "corepoint.env.s3keys" (list . "COREPOINT_OBJECTS__ACCESS_KEY" "COREPOINT_OBJECTS__SECRET_KEY") }}
{{- end -}}

{{/* How Prefect's own clients (workers, flow runs) are let in */}}
{{- define "corepoint.env.prefect" -}}
{{- if .Values.prefect.enabled -}}
{{ include "corepoint.env.secret" (list "PREFECT_API_AUTH_STRING" (include "corepoint.secrets.name" .) "prefect-auth-string") }}
{{- else if eq .Values.prefect.external.authentication "auth-string" -}}
{{ include "corepoint.env.secret" (list "PREFECT_API_AUTH_STRING" .Values.prefect.external.existingSecret "auth-string") }}
{{- else if eq .Values.prefect.external.authentication "api-key" -}}
{{ include "corepoint.env.secret" (list "PREFECT_API_KEY" .Values.prefect.external.existingSecret "api-key") }}
{{- end -}}
{{- end -}}

{{/* The same for the control plane's gateway */}}
{{- define "corepoint.env.gateway" -}}
{{- include "corepoint.env.prefect" . | replace "PREFECT_API_AUTH_STRING" "COREPOINT_PREFECT__AUTH_STRING" | replace "PREFECT_API_KEY" "COREPOINT_PREFECT__API_KEY" -}}
{{- end -}}

{{- define "corepoint.env.mlflow" -}}
{{- if and (not .Values.mlflow.enabled) .Values.mlflow.external.existingSecret -}}
{{- range $variable, $key := dict "MLFLOW_TRACKING_USERNAME" "username" "MLFLOW_TRACKING_PASSWORD" "password" "MLFLOW_TRACKING_TOKEN" "token" }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.mlflow.external.existingSecret }}, key: {{ $key }}, optional: true}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the process runs: who asks Kubernetes for the pods of this release */}}
{{- define "corepoint.env.kubernetes" -}}
- name: COREPOINT_KUBERNETES__NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: COREPOINT_KUBERNETES__INSTANCE
  value: {{ .Release.Name }}
{{- end -}}

{{- define "corepoint.env.control-plane" -}}
{{ include "corepoint.env.database" . }}
{{ include "corepoint.env.objects" . }}
{{ include "corepoint.env.gateway" . }}
{{ include "corepoint.env.secret" (list "COREPOINT_API__KEY_SECRET" (include "corepoint.secrets.name" .) "api-key-secret") }}
- name: HOME
  value: /tmp
{{- end -}}

{{/* (list root image-key): what flow runs need, in a worker or in a pod of their own */}}
{{- define "corepoint.env.worker" -}}
{{- $root := index . 0 -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: COREPOINT_WORKER_NAME
  value: $(POD_NAME)
- name: COREPOINT_IMAGE
  value: {{ include "corepoint.image" . }}
{{ include "corepoint.env.secret" (list "COREPOINT_API_KEY" (include "corepoint.secrets.name" $root) "worker-key") }}
{{ include "corepoint.env.objects" $root }}
{{ include "corepoint.env.prefect" $root }}
- name: COREPOINT_SCRATCH
  value: /scratch/run
- name: COREPOINT_CACHE
  value: /scratch/cache
- name: PREFECT_HOME
  value: /scratch/prefect
- name: HOME
  value: /home/corepoint
{{- end -}}
