{{- define "corepoint.secrets.name" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "corepoint.fullname" .)) -}}
{{- end -}}

{{/*
The data of our Secret. Made once: values that the cluster already has are kept, and within one rendering every
template sees the same ones. With an existing Secret, its data, so that pods start again when it changes.
*/}}
{{- define "corepoint.secrets.data" -}}
{{- if not (hasKey .Values "_secrets") -}}
{{- $there := (lookup "v1" "Secret" .Release.Namespace (include "corepoint.secrets.name" .)).data | default dict -}}
{{- $all := dict -}}
{{- range $key, $value := $there -}}{{- $_ := set $all $key ($value | b64dec) -}}{{- end -}}
{{- if not .Values.secrets.existingSecret -}}
{{- $_ := include "corepoint.secrets.generate" (list . $all) -}}
{{- end -}}
{{- $_ := set .Values "_secrets" $all -}}
{{- end -}}
{{- toYaml .Values._secrets -}}
{{- end -}}

{{/* (list root data): adds what is missing to data */}}
{{- define "corepoint.secrets.generate" -}}
{{- $root := index . 0 -}}
{{- $all := index . 1 -}}
{{- $new := dict "api-key-secret" (randAlphaNum 48) "admin-key" (include "corepoint.secrets.key" .) "worker-key" (include "corepoint.secrets.key" .) -}}
{{- if $root.Values.prefect.enabled -}}
{{- $_ := set $new "prefect-auth-string" (printf "corepoint:%s" (randAlphaNum 32)) -}}
{{- end -}}
{{- if $root.Values.minio.enabled -}}
{{- $_ := merge $new (dict "minio-access-key" (randAlphaNum 20) "minio-secret-key" (randAlphaNum 40)) -}}
{{- end -}}
{{- if $root.Values.postgres.enabled -}}
{{- $_ := set $new "postgres-password" (randAlphaNum 32) -}}
{{- range $role, $driver := dict "corepoint" "postgresql+asyncpg" "prefect" "postgresql+asyncpg" "mlflow" "postgresql+psycopg2" -}}
{{- $name := printf "%s-database-password" $role -}}
{{- $password := index $all $name | default (randAlphaNum 32) -}}
{{- $_ := set $new $name $password -}}
{{- $_ := set $new (printf "%s-database-url" $role) (printf "%s://%s:%s@%s:5432/%s" $driver $role $password (include "corepoint.host" (list $root "postgres")) $role) -}}
{{- end -}}
{{- end -}}
{{- $_ := merge $all $new -}}
{{- end -}}

{{/* An API key: prefix, public id, secret */}}
{{- define "corepoint.secrets.key" -}}
cp_{{ randAlphaNum 40 | sha256sum | trunc 12 }}_{{ randAlphaNum 43 }}
{{- end -}}
