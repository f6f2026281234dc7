{{- define "choregos.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* What all names begin with; so short that `<fullname>-controller` is a label's value. */}}
{{- define "choregos.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "choregos.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "choregos.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Labels of every object; of {root, component, labels}. Component may be empty; labels are further ones of users, which go
before those that are common. */}}
{{- define "choregos.labels" -}}
{{ include "choregos.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: choregos
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Labels of a process's pods: none that changes with every release, which would restart them; of {root, component, values}. */}}
{{- define "choregos.podLabels" -}}
{{ include "choregos.selector" . }}
app.kubernetes.io/part-of: choregos
{{- with merge (dict) .values.podLabels .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Labels that tell the pods of a process from all others; they never change. */}}
{{- define "choregos.selector" -}}
app.kubernetes.io/name: {{ include "choregos.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- /* The reference of an image; of {root, image}. A digest wins over a tag, and the tag is the chart's if there is none. */}}
{{- define "choregos.image" -}}
{{- $registry := (.root.Values.global).imageRegistry | default .image.registry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "choregos.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "choregos.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end }}
{{- end }}

{{- /* The settings of a process, as variables; of {root, process}. */}}
{{- define "choregos.settings" -}}
{{- $fullname := include "choregos.fullname" .root }}
{{- $operator := .root.Values.operator -}}
- name: CHOREGOS_NAMESPACE
  value: {{ .root.Release.Namespace | quote }}
- name: CHOREGOS_NATS_URL
  value: {{ include "choregos.natsUrl" .root | quote }}
{{- if and .root.Values.nats.credentialsSecret (eq .process "controller") }}
- name: CHOREGOS_NATS_CREDENTIALS
  value: /etc/choregos/nats
{{- end }}
- name: CHOREGOS_AMBASSADOR_IMAGE
  value: {{ include "choregos.image" (dict "root" .root "image" .root.Values.ambassador.image) | quote }}
- name: CHOREGOS_ORPHAN_TTL_DAYS
  value: {{ $operator.orphanTtlDays | quote }}
- name: CHOREGOS_EVICT_UNINJECTED
  value: {{ $operator.evictUninjected | quote }}
- name: CHOREGOS_SWEEP_SECONDS
  value: {{ $operator.sweepSeconds | quote }}
- name: CHOREGOS_WEBHOOK_HOST
  value: {{ $operator.listenAddress | quote }}
- name: CHOREGOS_WEBHOOK_PORT
  value: {{ .root.Values.webhook.port | int64 | quote }}
- name: CHOREGOS_PROBES_HOST
  value: {{ $operator.listenAddress | quote }}
- name: CHOREGOS_PROBES_PORT
  value: "9481"
- name: CHOREGOS_WEBHOOK_CERTIFICATES
  value: /etc/choregos/webhook
- name: CHOREGOS_WEBHOOK_SECRET
  value: {{ $fullname }}-webhook
- name: CHOREGOS_WEBHOOK_SERVICE
  value: {{ $fullname }}-webhook
- name: CHOREGOS_WEBHOOK_CONFIGURATION
  value: {{ $fullname }}
- name: CHOREGOS_OWN_CERTIFICATES
  value: {{ not .root.Values.certificates.certManager.enabled | quote }}
- name: CHOREGOS_LEASE
  value: {{ $fullname }}-controller
- name: CHOREGOS_LEASE_SECONDS
  value: {{ $operator.leaseSeconds | int64 | quote }}
- name: CHOREGOS_LOG_LEVEL
  value: {{ $operator.logLevel | quote }}
{{- end }}

{{- /* What "restricted" pod security asks of a pod, and of a container. */}}
{{- define "choregos.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- with .Values.podSecurityContext }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- define "choregos.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Under whom, and where, the pods of a process run; of {root, component, values}. */}}
{{- define "choregos.placement" -}}
securityContext: {{- include "choregos.podSecurity" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $these := dict "labelSelector" (dict "matchLabels" (include "choregos.selector" . | fromYaml)) }}
  {{- range .values.topologySpreadConstraints }}
  - {{- toYaml (merge (deepCopy .) $these) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The three probes of a process of the operator. */}}
{{- define "choregos.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: probes}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: probes}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: probes}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}
