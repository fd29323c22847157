#!/bin/sh
# Puts a backup in the place of the store of a server that keeps its own (--data-dir).
#
#   restore-server.sh BACKUP DATA_DIR [REASON]
#
# Stop the server before, so that nothing starts it again, and start it after: on a directory that is
# empty it would begin a store anew, with nothing in it, which relays would take over. What is in
# DATA_DIR is moved aside, not removed, once the backup is restored beside it.
set -eu
backup=${1:?"say which: restore-server.sh BACKUP DATA_DIR [REASON]"}
data_dir=${2:?"say where: restore-server.sh BACKUP DATA_DIR [REASON]"}
reason=${3:-"the store was lost"}

told=$(tidegate restore "$backup" --data-dir "$data_dir.restored" --reason "$reason")
if [ -e "$data_dir" ]; then
	mv -- "$data_dir" "$data_dir.before-$(date -u +%Y%m%dT%H%M%SZ)"
fi
mv -- "$data_dir.restored" "$data_dir"
printf '%s\n' "$told" | head -n 1
echo "now start the server on $data_dir"
