{{/* The operator's certificate, its Lease and every injected pod know it by this name: one in a cluster. */}}
{{- define "dbproxy.name" -}}dbproxy-operator{{- end -}}

{{- define "dbproxy.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "dbproxy.selector" -}}
app.kubernetes.io/name: dbproxy-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dbproxy.labels" -}}
{{ include "dbproxy.selector" . }}
app.kubernetes.io/part-of: dbproxy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
