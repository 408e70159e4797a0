{{/* How the worker of the spark queue reaches Spark, and what its applications look like (SparkSettings) */}}
{{- define "corepoint.env.spark" -}}
{{- $spark := .Values.spark -}}
- {name: COREPOINT_SPARK__SUBMITTER, value: {{ $spark.submitter }}}
{{- if eq $spark.submitter "operator" }}
- {name: COREPOINT_SPARK__IMAGE, value: {{ include "corepoint.image" (list . "spark") | quote }}}
- {name: COREPOINT_SPARK__IMAGE_PULL_POLICY, value: {{ .Values.images.spark.pullPolicy }}}
{{- with .Values.imagePullSecrets }}
{{- $names := list }}{{ range . }}{{ $names = append $names .name }}{{ end }}
- {name: COREPOINT_SPARK__IMAGE_PULL_SECRETS, value: {{ toJson $names | quote }}}
{{- end }}
- {name: COREPOINT_SPARK__NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: COREPOINT_SPARK__INSTANCE, value: {{ .Release.Name }}}
- {name: COREPOINT_SPARK__SERVICE_ACCOUNT, value: {{ include "corepoint.host" (list . "spark-driver") }}}
- {name: COREPOINT_SPARK__EXECUTOR_SERVICE_ACCOUNT, value: {{ include "corepoint.fullname" . }}}
{{- if .Values.minio.enabled }}
- {name: COREPOINT_SPARK__OBJECTS_SECRET, value: {{ include "corepoint.secrets.name" . }}}
{{- else if .Values.minio.external.existingSecret }}
- {name: COREPOINT_SPARK__OBJECTS_SECRET, value: {{ .Values.minio.external.existingSecret }}}
- {name: COREPOINT_SPARK__ACCESS_KEY_NAME, value: access-key}
- {name: COREPOINT_SPARK__SECRET_KEY_NAME, value: secret-key}
{{- end }}
- {name: COREPOINT_SPARK__DRIVER_CORES, value: {{ $spark.driver.cores | quote }}}
- {name: COREPOINT_SPARK__DRIVER_MEMORY_BYTES, value: {{ include "corepoint.bytes" $spark.driver.memory | quote }}}
- {name: COREPOINT_SPARK__DRIVER_MEMORY_MAX_BYTES, value: {{ include "corepoint.bytes" $spark.driver.memoryMax | quote }}}
- {name: COREPOINT_SPARK__EXECUTOR_CORES, value: {{ $spark.executor.cores | quote }}}
- {name: COREPOINT_SPARK__EXECUTOR_MEMORY_BYTES, value: {{ include "corepoint.bytes" $spark.executor.memory | quote }}}
- {name: COREPOINT_SPARK__EXECUTOR_MEMORY_MAX_BYTES, value: {{ include "corepoint.bytes" $spark.executor.memoryMax | quote }}}
- {name: COREPOINT_SPARK__EXECUTORS, value: {{ $spark.executor.instances.min | quote }}}
- {name: COREPOINT_SPARK__EXECUTORS_MAX, value: {{ $spark.executor.instances.max | quote }}}
- {name: COREPOINT_SPARK__CORE_LIMITS, value: {{ $spark.coreLimits | quote }}}
- {name: COREPOINT_SPARK__DYNAMIC_ALLOCATION, value: {{ $spark.dynamicAllocation | quote }}}
- {name: COREPOINT_SPARK__LOCAL_BYTES, value: {{ include "corepoint.bytes" $spark.scratch | quote }}}
- {name: COREPOINT_SPARK__START_SECONDS, value: {{ $spark.startSeconds | quote }}}
- {name: COREPOINT_SPARK__TTL_SECONDS, value: {{ $spark.ttlSeconds | quote }}}
{{- with $spark.labels }}
- {name: COREPOINT_SPARK__LABELS, value: {{ toJson . | quote }}}
{{- end }}
{{- with $spark.nodeSelector }}
- {name: COREPOINT_SPARK__NODE_SELECTOR, value: {{ toJson . | quote }}}
{{- end }}
{{- with $spark.tolerations }}
- {name: COREPOINT_SPARK__TOLERATIONS, value: {{ toJson . | quote }}}
{{- end }}
{{- end }}
{{- end -}}
