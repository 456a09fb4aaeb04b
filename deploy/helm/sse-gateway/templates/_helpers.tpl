{{/* Labels of one program's objects: (dict "root" $ "name" "sse-gateway"); without a name, of what both share. */}}
{{- define "sse.labels" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .name }}
app.kubernetes.io/name: {{ . }}
{{- end }}
app.kubernetes.io/part-of: sse
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sse.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "sse.podLabels" -}}
{{ include "sse.selector" . }}
app.kubernetes.io/part-of: sse
{{- end }}

{{/* Both programs' pods, as a selector. */}}
{{- define "sse.both" -}}
matchLabels:
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/name
    operator: In
    values: [sse-gateway, sse-publisher]
{{- end }}

{{- define "sse.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "sse.redisSecret" -}}
{{- .Values.redis.secret | default (printf "%s-redis" .Release.Name) }}
{{- end }}

{{- define "sse.gatewaySettings" -}}
{{- $own := dict "ADMIN_HOST" "0.0.0.0" "PUBLISHER_URL" (printf "http://%s-publisher:4044" .Release.Name) }}
{{- merge (dict) .Values.gateway.settings $own | toYaml }}
{{- end }}

{{- define "sse.publisherSettings" -}}
{{- merge (dict) .Values.publisher.settings (dict "ADMIN_HOST" "0.0.0.0") | toYaml }}
{{- end }}

{{/* One program's Deployment: (dict "root" $ "component" "gateway" "values" … "settings" … "port" … "adminPort" … "drain" seconds "replicas" n or "") */}}
{{- define "sse.deployment" -}}
{{- $name := printf "sse-%s" .component }}
{{- $labels := dict "root" .root "name" $name }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels:
    {{- include "sse.labels" $labels | nindent 4 }}
spec:
  {{- with .replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 3
  minReadySeconds: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: {{ .values.maxSurge }}
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "sse.selector" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sse.podLabels" $labels | nindent 8 }}
      annotations:
        checksum/settings: {{ printf "%s%s" .settings .root.Values.jwt.policy | sha256sum }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ add .values.preStopSeconds .drain 15 }}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "sse.selector" $labels | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "sse.image" (dict "root" .root "image" .values.image) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          envFrom:
            - configMapRef:
                name: {{ .root.Release.Name }}-{{ .component }}
          env:
            - name: REDIS_URL_FILE
              value: /etc/sse/redis/url
            {{- if .root.Values.jwt.secret }}
            - name: JWT_KEY_FILE
              value: /etc/sse/jwt/key
            {{- if .root.Values.jwt.policy }}
            - name: POLICY_FILE
              value: /etc/sse/policy/policy
            {{- end }}
            {{- end }}
          ports:
            - name: http
              containerPort: {{ .port }}
            - name: admin
              containerPort: {{ .adminPort }}
          startupProbe:
            httpGet:
              path: /healthz
              port: admin
            periodSeconds: 1
            failureThreshold: 30
          livenessProbe:
            httpGet:
              path: /healthz
              port: admin
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: admin
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          {{- with .values.preStopSeconds }}
          {{- if semverCompare "<1.30.0-0" $.root.Capabilities.KubeVersion.Version }}
          {{- fail "preStopSeconds needs Kubernetes 1.30: set gateway.preStopSeconds and publisher.preStopSeconds to 0" }}
          {{- end }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ . }}
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: redis
              mountPath: /etc/sse/redis
              readOnly: true
            {{- if .root.Values.jwt.secret }}
            - name: jwt
              mountPath: /etc/sse/jwt
              readOnly: true
            {{- if .root.Values.jwt.policy }}
            - name: policy
              mountPath: /etc/sse/policy
              readOnly: true
            {{- end }}
            {{- end }}
      volumes:
        - name: redis
          secret:
            secretName: {{ include "sse.redisSecret" .root }}
            defaultMode: 0440
        {{- if .root.Values.jwt.secret }}
        - name: jwt
          secret:
            secretName: {{ .root.Values.jwt.secret }}
            defaultMode: 0440
        {{- if .root.Values.jwt.policy }}
        - name: policy
          configMap:
            name: {{ .root.Release.Name }}-policy
        {{- end }}
        {{- end }}
{{- end }}
