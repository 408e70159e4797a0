{{- define "corepoint.env.mlflow-server" -}}
{{ include "corepoint.env.url" (list . "MLFLOW_BACKEND_STORE_URI" "mlflow" "postgresql+psycopg2") }}
{{ include "corepoint.env.s3keys" (list . "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}
{{- with include "corepoint.objects.endpoint" . }}
- {name: MLFLOW_S3_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
- {name: AWS_REGION, value: {{ include "corepoint.objects.region" . }}}
- {name: AWS_DEFAULT_REGION, value: {{ include "corepoint.objects.region" . }}}
- {name: AWS_REQUEST_CHECKSUM_CALCULATION, value: when_required}
- {name: AWS_RESPONSE_CHECKSUM_VALIDATION, value: when_required}
# The job executors are for MLflow's own evaluations: eight processes that nobody here needs.
- {name: MLFLOW_SERVER_ENABLE_JOB_EXECUTION, value: "false"}
- {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
- {name: DO_NOT_TRACK, value: "true"}
- {name: HOME, value: /tmp}
{{- end -}}

{{- define "corepoint.checksum.mlflow" -}}
{{ .Files.Get "files/mlflow-tables.py" | sha256sum }}
{{- end -}}
