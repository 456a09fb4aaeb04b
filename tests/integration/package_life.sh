# The life of the Debian package on a machine with systemd: run by systemd_boot, read by package.test.mjs as "key: value" lines.
# The units ask for PrivateUsers=, and the kernel makes no user namespace in a chroot (clone(2), EPERM).
mkdir -p /run/systemd/system
printf '[Service]\nType=oneshot\nDynamicUser=yes\nPrivateUsers=yes\nExecStart=/bin/true\n' >/run/systemd/system/probe.service
systemctl start probe.service 2>/dev/null || { echo 'no user namespaces'; exit 0; }
say() { echo "$1: ${*:2}"; }
wait_for() { for ((i = 0; i < 150; ++i)); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }
pid() { systemctl show -P MainPID "$1"; }
another_pid() { [[ $(pid "$1") != 0 && $(pid "$1") != "$2" ]]; }

redis-server --port 6379 --bind 127.0.0.1 --requirepass s3cret --save '' --daemonize yes --logfile /run/redis.log >/dev/null
mkdir /etc/sse-gateway
echo 'redis://:s3cret@127.0.0.1:6379' >/etc/sse-gateway/redis_url
chmod 600 /etc/sse-gateway/redis_url

dpkg -i /shared/package.deb >/run/dpkg.log 2>&1
say installed $?
say enabled "$(systemctl is-enabled sse-gateway 2>&1)" "$(systemctl is-active sse-gateway sse-publisher | xargs)"

for unit in sse-gateway sse-publisher; do
    mkdir -p /etc/systemd/system/$unit.service.d
    printf '[Service]\nLoadCredential=redis_url:/etc/sse-gateway/redis_url\nEnvironment=REDIS_URL_FILE=%%d/redis_url\nStandardError=append:/run/%s.log\n' $unit \
        >/etc/systemd/system/$unit.service.d/local.conf
done
echo 'DRAIN_SECONDS=1' >>/etc/default/sse-gateway
echo 'ADMIN_PORT=9143' >>/etc/default/sse-gateway
systemctl daemon-reload
systemctl enable --now sse-publisher sse-gateway 2>/dev/null
say started $?
wait_for sse-publisher healthcheck
wait_for sse-gateway healthcheck
say gateway "$(sse-gateway healthcheck)"
say publisher "$(sse-publisher healthcheck)"

curl -sN http://127.0.0.1:4043/channels/news >/run/stream &
wait_for grep -q retry: /run/stream
curl -s -o /dev/null -H 'content-type: text/plain' -d hi http://127.0.0.1:4043/channels/news
wait_for grep -q '^data: hi' /run/stream
say stream "$(grep ^data: /run/stream)"

for unit in sse-gateway sse-publisher; do
    status=/proc/$(pid $unit)/status
    say "$unit" "root $(awk '/^Uid/ { print ($2 == 0 || $3 == 0) }' "$status")" "capabilities $(awk '/^Cap/ { print $2 }' "$status" | sort -u)" \
        "$(grep NoNewPrivs "$status" | xargs)" "$(grep -w Seccomp: "$status" | xargs)"
    say "$unit-writes" "$(nsenter -t "$(pid $unit)" -m touch /etc/written /usr/written /var/written 2>&1 | grep -c 'Read-only file system')"
done

before=$(pid sse-gateway)
systemctl reload sse-gateway
say reloaded $? "$([[ $(pid sse-gateway) == "$before" ]] && systemctl is-active sse-gateway)"
kill -KILL "$before"
wait_for another_pid sse-gateway "$before" && wait_for sse-gateway healthcheck
say killed "$(systemctl is-active sse-gateway)"

before=$(pid sse-gateway)
dpkg -i /shared/package.deb >/run/dpkg.log 2>&1
wait_for another_pid sse-gateway "$before" && wait_for sse-gateway healthcheck
say upgraded "$(systemctl is-active sse-gateway sse-publisher | xargs)" "$(grep -c DRAIN_SECONDS=1 /etc/default/sse-gateway)"

curl -sN http://127.0.0.1:4043/channels/news >/run/last_stream &
wait_for grep -q retry: /run/last_stream
systemctl stop sse-gateway
wait $! || true # curl writes what it was sent, and ends
say stopped "$(systemctl show -P Result sse-gateway)" "$(systemctl show -P ExecMainStatus sse-gateway)" "$(grep -c '^retry:' /run/last_stream)"

dpkg -r sse-gateway >/run/dpkg.log 2>&1
say removed $? "$(systemctl is-active sse-publisher)" "$(ls /usr/bin/sse-* /lib/systemd/system/sse-* 2>/dev/null | wc -l)" "$(ls /etc/default/sse-* | wc -l)"
dpkg -P sse-gateway >/run/dpkg.log 2>&1
say purged $? "$(ls /etc/default/sse-* 2>/dev/null | wc -l)"
grep -h 'level=error' /run/sse-gateway.log /run/sse-publisher.log
redis-cli -a s3cret --no-auth-warning shutdown nosave
