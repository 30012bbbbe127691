# Starts Valkey as a replica of the primary that a Sentinel names. Where none answers, as what it was; at the very first
# start as a replica of valkey-0.
set -eu
own=/data/server.conf
self=$HOSTNAME.valkey-nodes

ask() { # the first answer of a Sentinel, one line
    for node in 0 1 2; do
        answer=$(timeout 2 valkey-cli -h "valkey-$node.valkey-nodes" -p 26379 --raw "$@" 2>/dev/null | head -n 1)
        if [ "$answer" ]; then echo "$answer" && return; fi
    done
}

empty=
if ! [ -e $own ]; then
    empty=yes
    echo "replica-announce-ip $self" >$own.new
    [ "$HOSTNAME" = valkey-0 ] || echo "replicaof valkey-0.valkey-nodes 6379" >>$own.new
fi
primary=$(ask sentinel get-master-addr-by-name referrals)
# An empty disk must not become the primary of replicas that have the data: wait until Sentinel has elected one of them.
while [ "$empty" ] && [ "$primary" = "$self" ] && [ "$(ask sentinel replicas referrals)" ]; do
    sleep 1
    primary=$(ask sentinel get-master-addr-by-name referrals)
done
[ -z "$empty" ] || mv $own.new $own

case $primary in
    '') ;;
    "$self") set -- --replicaof no one "$@" ;;
    *) set -- --replicaof "$primary" 6379 "$@" ;;
esac
exec valkey-server $own --include /etc/valkey/valkey.conf --include /etc/valkey/server-password.conf "$@"
