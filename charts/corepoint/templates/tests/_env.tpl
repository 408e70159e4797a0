{{- define "corepoint.env.test" -}}
- {name: COREPOINT_SERVER, value: "http://{{ include "corepoint.host" (list . "api") }}:8787"}
- {name: TEST_TIMEOUT, value: {{ .Values.tests.timeout | quote }}}
- {name: HOME, value: /tmp}
{{- end -}}
