#!/bin/sh
# Before a start on data that exists: roles and passwords as they should be, on a server that listens to nobody else.
set -eu
[ -s "$PGDATA/PG_VERSION" ] || exit 0
pg_ctl --pgdata "$PGDATA" --wait --timeout 600 --options "-c listen_addresses=''" start
sh /scripts/roles.sh
pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
