# Starts Sentinel, with what it knows already. Two of three must agree that a primary is down.
set -eu
own=/data/sentinel.conf
if ! [ -e $own ]; then
    echo "sentinel announce-ip $HOSTNAME.valkey-nodes" >$own.new
    echo "sentinel monitor referrals valkey-0.valkey-nodes 6379 2" >>$own.new
    mv $own.new $own
fi
exec valkey-server $own --sentinel --include /etc/valkey/sentinel.conf \
    --include /etc/valkey/sentinel-password.conf "$@"
