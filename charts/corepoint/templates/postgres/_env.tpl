{{- define "corepoint.env.postgres" -}}
{{- $secrets := include "corepoint.secrets.name" . -}}
{{ include "corepoint.env.secret" (list "POSTGRES_PASSWORD" $secrets "postgres-password") }}
{{- range tuple "corepoint" "prefect" "mlflow" }}
{{ include "corepoint.env.secret" (list (printf "%s_password" .) $secrets (printf "%s-database-password" .)) }}
{{- end }}
- {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
{{- end -}}

{{- define "corepoint.postgres.mounts" -}}
- {name: data, mountPath: /var/lib/postgresql/data}
- {name: run, mountPath: /var/run/postgresql}
- {name: tmp, mountPath: /tmp}
- {name: scripts, mountPath: /docker-entrypoint-initdb.d/roles.sh, subPath: roles.sh}
- {name: scripts, mountPath: /scripts}
{{- end -}}

{{- define "corepoint.checksum.postgres" -}}
{{ cat (.Files.Get "files/postgres-roles.sh") (.Files.Get "files/postgres-before-start.sh") | sha256sum }}
{{- end -}}
