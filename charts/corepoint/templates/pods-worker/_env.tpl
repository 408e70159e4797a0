{{- define "corepoint.env.pods-worker" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{ include "corepoint.env.prefect" . }}
# It would watch the pods of all namespaces otherwise (PrefectHQ/prefect#22208).
- {name: PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES, value: $(POD_NAMESPACE)}
- {name: PREFECT_HOME, value: /tmp/prefect}
- {name: HOME, value: /tmp}
{{- end -}}
