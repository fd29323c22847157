#!/bin/sh
# Puts a backup in the place of what an etcd cluster holds. Stop all tidegate servers and all members
# of etcd before; start etcd, and then the servers, after. In two steps:
#
#   restore-cluster.sh snapshot BACKUP SNAPSHOT [REASON]
#
# once, anywhere: makes the snapshot that all members are restored from. Copy it to each of them:
#
#   restore-cluster.sh member SNAPSHOT NAME PEER_URL INITIAL_CLUSTER DATA_DIR
#
# NAME, PEER_URL and INITIAL_CLUSTER are the member's --name, --initial-advertise-peer-urls and
# --initial-cluster. What is in DATA_DIR is moved aside, not removed. $ETCDUTL: etcd's own tool, of
# the version that the members have.
set -eu
usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
step=${1:-}
[ $# -gt 0 ] && shift

case $step in
snapshot)
	[ $# -ge 2 ] || usage
	tidegate restore "$1" --etcd-snapshot "$2" --reason "${3:-"the store was lost"}"
	;;
member)
	[ $# -eq 5 ] || usage
	if [ -e "$5" ]; then
		mv -- "$5" "$5.before-$(date -u +%Y%m%dT%H%M%SZ)"
	fi
	"${ETCDUTL:-etcdutl}" snapshot restore "$1" --name "$2" --initial-advertise-peer-urls "$3" \
		--initial-cluster "$4" --data-dir "$5"
	;;
*) usage ;;
esac
