#!/usr/bin/env bash
# test/clients/follow.sh URL: follows an event stream with curl, and again from the last id when it has ended. Writes a
# line of JSON for each message, [id, text], and ends where the list begins anew.
set -u
last=
while :; do
    while IFS= read -r line; do
        case $line in
        id:*) id=${line#id: } ;;
        'data: {"last_id"'*'"reset":true'*)
            echo "reset: $line" >&2
            exit 1
            ;;
        'data: "'*) text=${line#data: } ;;
        '')
            [ -z "${text:-}" ] || printf '[%s,%s]\n' "$id" "$text"
            last=${id:-$last}
            text=
            ;;
        esac
    done < <(curl -sN -H 'Accept: text/event-stream' ${last:+-H "Last-Event-ID: $last"} "$1")
    sleep 0.2 # as `retry` asks for, in little
done
