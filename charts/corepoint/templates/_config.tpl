{{/* Where the parts are, whether they are bundled or not */}}
{{- define "corepoint.host" -}}
{{- printf "%s-%s" (include "corepoint.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{- define "corepoint.prefect.url" -}}
{{- if .Values.prefect.enabled -}}
http://{{ include "corepoint.host" (list . "prefect") }}:4200/api
{{- else -}}
{{ required "prefect.enabled is false: say where Prefect is in prefect.external.apiUrl, for example https://prefect.example.org/api" .Values.prefect.external.apiUrl }}
{{- end -}}
{{- end -}}

{{- define "corepoint.mlflow.url" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "corepoint.host" (list . "mlflow") }}:5000
{{- else -}}
{{ .Values.mlflow.external.trackingUri }}
{{- end -}}
{{- end -}}

{{- define "corepoint.objects.endpoint" -}}
{{- if .Values.minio.enabled -}}
http://{{ include "corepoint.host" (list . "minio") }}:9000
{{- else -}}
{{ .Values.minio.external.endpoint }}
{{- end -}}
{{- end -}}

{{- define "corepoint.objects.bucket" -}}
{{- if .Values.minio.enabled -}}{{ .Values.minio.bucket }}
{{- else -}}
{{ required "minio.enabled is false: name the bucket in minio.external.bucket" .Values.minio.external.bucket }}
{{- end -}}
{{- end -}}

{{/* The queues that exist, as a YAML map: those enabled, spark only with Spark */}}
{{- define "corepoint.queues" -}}
{{- $root := . -}}
{{- $all := dict -}}
{{- range $name, $queue := .Values.workers.queues -}}
{{- if and $queue.enabled (or (ne $name "spark") $root.Values.spark.enabled) -}}
{{- $_ := set $all $name $queue -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $all "default") -}}
{{- fail "workers.queues.default cannot be disabled: it prepares the datasets of every experiment" -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* What one sample on each queue may use, as COREPOINT_QUEUES */}}
{{- define "corepoint.queues.limits" -}}
{{- $root := . -}}
{{- $reserve := include "corepoint.bytes" .Values.workers.reserve | int64 -}}
{{- $limits := dict -}}
{{- range $name, $queue := include "corepoint.queues" . | fromYaml -}}
{{- $hint := printf "workers.queues.%s.resources.limits" $name -}}
{{- $pod := (($queue.resources).limits) | default dict -}}
{{- $memory := 0 -}}
{{- $threads := $queue.threads | default 0 | int -}}
{{- if $queue.memory -}}
{{- $memory = include "corepoint.bytes" $queue.memory | int64 -}}
{{- else if include "corepoint.spark.distributed" (list $root $name) -}}
{{- $memory = mul (include "corepoint.bytes" $root.Values.spark.executor.memoryMax | int64) $root.Values.spark.executor.instances.max -}}
{{- else -}}
{{- $memory = sub (include "corepoint.bytes" (required (printf "%s.memory is needed: it bounds what one sample may use" $hint) $pod.memory) | int64) $reserve -}}
{{- if lt $memory (int64 536870912) -}}
{{- fail (printf "%s.memory (%s) leaves less than 512Mi for a sample after workers.reserve (%s); raise the limit" $hint $pod.memory $root.Values.workers.reserve) -}}
{{- end -}}
{{- end -}}
{{- if not $threads -}}
{{- if include "corepoint.spark.distributed" (list $root $name) -}}
{{- $threads = mul $root.Values.spark.executor.cores $root.Values.spark.executor.instances.max -}}
{{- else -}}
{{- $threads = include "corepoint.cores" (required (printf "%s.cpu is needed: threads are set from it" $hint) $pod.cpu) | int -}}
{{- end -}}
{{- end -}}
{{- $_ := set $limits $name (dict "memory_bytes" $memory "threads" $threads "worker_limit" (include "corepoint.worker.limit" (list $root $name $queue.limit) | int)) -}}
{{- end -}}
{{- toJson $limits -}}
{{- end -}}

{{/* (list root queue): are a queue's samples measured in Spark's own pods? */}}
{{- define "corepoint.spark.distributed" -}}
{{- if and (eq (index . 1) "spark") (eq (index . 0).Values.spark.submitter "operator") -}}true{{- end -}}
{{- end -}}

{{/* The settings that are no secrets, for control plane and workers alike */}}
{{- define "corepoint.config.data" -}}
COREPOINT_INTERNAL_URL: http://{{ include "corepoint.host" (list . "api") }}:8788
COREPOINT_OBJECTS__KIND: s3
COREPOINT_OBJECTS__REGION: {{ include "corepoint.objects.region" . }}
COREPOINT_OBJECTS__BUCKET: {{ include "corepoint.objects.bucket" . }}
{{- with include "corepoint.objects.endpoint" . }}
COREPOINT_OBJECTS__ENDPOINT: {{ . }}
MLFLOW_S3_ENDPOINT_URL: {{ . }}
{{- end }}
AWS_REGION: {{ include "corepoint.objects.region" . }}
AWS_DEFAULT_REGION: {{ include "corepoint.objects.region" . }}
# boto3 sends CRC32 by default, and many stores refuse it (boto/botocore#3277).
AWS_REQUEST_CHECKSUM_CALCULATION: when_required
AWS_RESPONSE_CHECKSUM_VALIDATION: when_required
COREPOINT_PREFECT__API_URL: {{ include "corepoint.prefect.url" . }}
COREPOINT_PREFECT__POOL: {{ .Values.workers.pool }}
PREFECT_API_URL: {{ include "corepoint.prefect.url" . }}
PREFECT_CLI_COLORS: "false"
{{- with include "corepoint.mlflow.url" . }}
COREPOINT_MLFLOW__TRACKING_URI: {{ . }}
{{- end }}
COREPOINT_QUEUES: {{ include "corepoint.queues.limits" . | quote }}
COREPOINT_POD_ISOLATION: {{ .Values.podIsolation.enabled | quote }}
COREPOINT_PREFECT__PODS_POOL: {{ .Values.podIsolation.pool }}
COREPOINT_PODS__CONCURRENCY: {{ .Values.podIsolation.limit | quote }}
COREPOINT_PODS__RESERVE_BYTES: {{ include "corepoint.bytes" .Values.podIsolation.reserve | quote }}
{{- with .Values.retention }}
COREPOINT_RETENTION__ENABLED: {{ .enabled | quote }}
COREPOINT_RETENTION__RUNS_DAYS: {{ .runsDays | quote }}
COREPOINT_RETENTION__RUNS_PER_EXPERIMENT: {{ .runsPerExperiment | quote }}
COREPOINT_RETENTION__ARTIFACTS_DAYS: {{ .artifactsDays | quote }}
COREPOINT_RETENTION__PREVIEWS_DAYS: {{ .previewsDays | quote }}
COREPOINT_RETENTION__EVENTS_DAYS: {{ .eventsDays | quote }}
COREPOINT_RETENTION__APPLICATIONS_DAYS: {{ .applicationsDays | quote }}
COREPOINT_RETENTION__UPLOADS_DAYS: {{ .uploadsDays | quote }}
{{- end }}
COREPOINT_RETENTION__FLOW_RUNS_DAYS: {{ .Values.prefect.retentionDays | quote }}
MLFLOW_DISABLE_TELEMETRY: "true"
DO_NOT_TRACK: "1"
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "corepoint.objects.region" -}}
{{ ternary "us-east-1" .Values.minio.external.region .Values.minio.enabled }}
{{- end -}}
