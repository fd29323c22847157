#!/bin/sh
# Takes a backup of a running server into a folder, and removes all but the newest.
#
#   backup.sh FOLDER [KEEP]        KEEP: how many stay, 14 unless told otherwise
#
# The server is that of $TIDEGATE_SERVER, who asks that of $TIDEGATE_KEY_FILE. Prints the file's
# name. Nothing is removed unless the new backup is there and whole. What else must not be lost
# with the machine goes elsewhere: the backup, and what 'tidegate audit head' prints.
set -eu
folder=${1:?"say where: backup.sh FOLDER [KEEP]"}
keep=${2:-14}
file=$folder/tidegate-$(date -u +%Y%m%dT%H%M%SZ).backup

mkdir -p "$folder"
tidegate backup "$file" >&2
ls -1 "$folder"/tidegate-*.backup | sort -r | tail -n "+$((keep + 1))" | while read -r old; do
	rm -- "$old"
done
echo "$file"
