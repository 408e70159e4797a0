{{- define "corepoint.env.metrics-tls" -}}
- {name: COREPOINT_METRICS__CERTIFICATE_FILE, value: /etc/corepoint/tls/tls.crt}
- {name: COREPOINT_METRICS__PRIVATE_KEY_FILE, value: /etc/corepoint/tls/tls.key}
{{- end -}}
