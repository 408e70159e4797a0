{{- define "corepoint.env.minio" -}}
- {name: MINIO_BROWSER, value: {{ ternary "on" "off" .Values.minio.console | quote }}}
- {name: MINIO_UPDATE, value: "off"}
- {name: HOME, value: /tmp}
{{- end -}}
