{{- /* What contradicts itself is refused here, with the sentence that mends it; what has a wrong type, by the schema. */}}
{{- define "choregos.refusals" -}}
{{- $nats := .Values.nats }}
{{- if not .Values.enabled }}
{{- fail "enabled is false, which is for the `condition` of a chart that depends on this one; remove it, or uninstall the release" }}
{{- end }}
{{- if and (not $nats.url) (not $nats.enabled) }}
{{- fail "Choregos needs a NATS with JetStream: set nats.url to yours, such as nats://nats.nats:4222, or nats.enabled=true for a built-in one to try things out" }}
{{- end }}
{{- if and $nats.url $nats.enabled }}
{{- fail "nats.url and nats.enabled are both set; remove nats.url to use the built-in NATS, or set nats.enabled=false to use yours" }}
{{- end }}
{{- if contains "@" $nats.url }}
{{- fail "nats.url holds a user, password or token, which every pod with an ambassador would show; remove what stands before the @, and put it into a Secret that nats.credentialsSecret names" }}
{{- end }}
{{- if $nats.url }}
{{- range splitList "," $nats.url }}
{{- if not (regexMatch `^(nats|tls|ws|wss)://[^\s/?#@]+/?$` (trim .)) }}
{{- fail (printf "nats.url has %q, which is no NATS server; write nats://HOST:4222, or tls://, ws:// or wss://, several separated by commas" (trim .)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $nats.enabled $nats.credentialsSecret }}
{{- fail "nats.credentialsSecret is for the NATS of nats.url, and the built-in one asks for no credentials; remove one of nats.credentialsSecret and nats.enabled" }}
{{- end }}
{{- if and .Values.certificates.certManager.enabled (not .Values.certificates.certManager.issuerRef.name) }}
{{- fail "certificates.certManager.enabled needs an issuer; set certificates.certManager.issuerRef.name" }}
{{- end }}
{{- range $process := list "controller" "webhook" }}
{{- $values := index $.Values $process }}
{{- $budget := $values.podDisruptionBudget }}
{{- if and $budget.enabled (ge (int $budget.minAvailable) (int $values.replicas)) }}
{{- fail (printf "%[1]s.podDisruptionBudget keeps %[2]d of %[3]d pods, so a drain of their node never ends; raise %[1]s.replicas above %[1]s.podDisruptionBudget.minAvailable" $process (int $budget.minAvailable) (int $values.replicas)) }}
{{- end }}
{{- $set := list }}
{{- range include "choregos.settings" (dict "root" $ "process" $process) | fromYamlArray }}
{{- $set = append $set .name }}
{{- end }}
{{- range $values.extraEnv }}
{{- if has .name $set }}
{{- fail (printf "%s.extraEnv sets %s, which the chart sets itself; remove it, and use the value that stands for it" $process .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $labels := dict "commonLabels" .Values.commonLabels }}
{{- range $process := list "controller" "webhook" "nats" }}
{{- $_ := set $labels (printf "%s.podLabels" $process) (index $.Values $process).podLabels }}
{{- end }}
{{- range $value, $its := $labels }}
{{- range $label := keys $its | sortAlpha }}
{{- if eq $label "choregos.dev/service" }}
{{- fail (printf "%s has %s, which is for pods of services: this one would wait for itself; remove it" $value $label) }}
{{- else if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" "helm.sh/chart") }}
{{- fail (printf "%s has %s, which the chart sets itself, and by which its pods are told apart; remove it" $value $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
