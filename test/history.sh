#!/usr/bin/env bash
# test/history.sh: clients that append without a pause while a script restarts and kills nodes, and a checker of what
# they were told. For scripts that source this, with `set -euo pipefail`. In the order of use:
#
#     history_open DIR                          # notes and lists go there
#     history_start all http://master:5000 w=all
#     history_goes_on
#     history_step "the master killed" COMMAND ARGUMENT...
#     history_end                               # in an EXIT trap, too
#     history_list master http://master:5000    # and each other node
#     history_check
#
# A client has a name of letters, and POSTs NAME-1, NAME-2 and so on, one after the other. A number whose POST failed or
# was not answered is never sent again: nobody knows whether it was appended.

history_pids=() # of the clients that run

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

history_open() {
    history=$1
    history_clients=()
    history_last=
    mkdir "$history"
}

# history_start NAME URL [QUERY]: a client of the master at this URL.
history_start() {
    : >"$history/acked.$1"
    history_clients+=("$1")
    history_client "$@" &
    history_pids+=($!)
}

# Notes "MS ID NAME-NUMBER" of each 201.
history_client() {
    local number=0 answer
    until [ -e "$history/stop" ]; do
        number=$((number + 1))
        answer=$(curl -s --connect-timeout 0.5 --max-time 3 -w ' %{http_code}' -d "$1-$number" "$2/messages${3:+?$3}") || true
        if [[ $answer =~ ^\{\"id\":([0-9]+),.*\ 201$ ]]; then
            echo "$(now_ms) ${BASH_REMATCH[1]} $1-$number" >>"$history/acked.$1"
        else
            sleep 0.02
        fi
    done
}

# Each client ends behind the POST that it is about: within 3 s.
history_end() {
    [ ${#history_pids[@]} != 0 ] || return 0
    touch "$history/stop"
    wait "${history_pids[@]}" || true
    history_pids=()
}

# history_longest NAME MS: the longest time between two acknowledgements of a client, of those that ended since MS.
history_longest() {
    awk -v since="$2" 'last && $1 >= since && $1 - last > most { most = $1 - last } { last = $1 } END { print most + 0 }' \
        "$history/acked.$1"
}

# Waits until each client has had ten more messages acknowledged. Fails after 20 s.
history_goes_on() {
    local name end=$((SECONDS + 20))
    local -A enough
    for name in "${history_clients[@]}"; do
        enough[$name]=$(($(wc -l <"$history/acked.$name") + 10))
    done
    for name in "${history_clients[@]}"; do
        until [ "$(wc -l <"$history/acked.$name")" -ge "${enough[$name]}" ]; do
            [ $SECONDS -lt $end ] || {
                echo "history: nothing of the client $name is acknowledged any more" >&2
                return 1
            }
            sleep 0.05
        done
    done
}

# history_step WHAT COMMAND...: then appends must go on. Tells how long they did not.
history_step() {
    local since name figures=
    since=$(now_ms)
    "${@:2}"
    history_goes_on
    for name in "${history_clients[@]}"; do
        figures+=", $name $(history_longest "$name" "$since") ms"
    done
    printf '%-44s longest time without an acknowledged append: %s\n' "$1" "${figures#, }"
}

# history_list NAME URL [COMMAND...]: notes the list of a node, once that has what those before it have. COMMAND is put
# in front of curl.
history_list() {
    "${@:3}" curl -sS --fail --max-time 10 -H 'Accept: application/x-ndjson' \
        "$2/messages${history_last:+?min_id=$history_last}" >"$history/list.$1"
    history_last=$(wc -l <"$history/list.$1")
}

# In the list of each node the ids count from 1, the numbers of each client are in order and none is there twice, each
# acknowledged message is there under the id that its 201 named; and the lists are the same bytes. Says what is wrong.
history_check() {
    local lists=("$history"/list.*) list bad=0
    for list in "${lists[@]}"; do
        awk -F'"' -v clients=" ${history_clients[*]} " -v list="${list##*/list.}" '
            function wrong(what) { if (++bad <= 5) print "history: " list ": " what }
            FILENAME != ARGV[1] {
                split($0, acked, " ")
                if (!(acked[3] in id_of)) wrong(acked[3] " was acknowledged as " acked[2] " and is lost")
                else if (id_of[acked[3]] != acked[2]) wrong(acked[3] " was acknowledged as " acked[2] " and is " id_of[acked[3]])
                next
            }
            {
                id = substr($3, 2) + 0
                if (id != FNR) wrong("the id in line " FNR " is " id)
                split($6, part, "-")
                if (!index(clients, " " part[1] " ")) next
                if ($6 in id_of) wrong($6 " is there twice, as " id_of[$6] " and " id)
                else if (part[2] + 0 <= number[part[1]]) wrong($6 ", as " id ", is behind " part[1] "-" number[part[1]])
                id_of[$6] = id
                number[part[1]] = part[2] + 0
            }
            END { exit bad != 0 }' "$list" "$history"/acked.* >&2 || bad=1
        cmp "${lists[0]}" "$list" >&2 || bad=1
    done
    [ $bad = 0 ] || return 1
    echo "$(wc -l <"${lists[0]}") messages, the same on ${#lists[@]} nodes; all $(cat "$history"/acked.* | wc -l) that were" \
        "acknowledged are there, once, in order and under their ids"
}

# history_self_check DIR: the checker accepts a history that is right, and finds each of these faults.
history_self_check() (
    history_open "$1"
    history_clients=(a b)
    printf '%s\n' '1 1 a-1' '3 3 a-2' >"$history/acked.a"
    printf '%s\n' '2 2 b-1' '4 4 b-2' >"$history/acked.b"
    # says TEXT MESSAGES [MESSAGES]: of the first node's list and the second's, which is like it where it is not given
    says() {
        local said
        tr ' ' '\n' <<<"$2" | awk '{ print "{\"id\":" NR ",\"message\":\"" $0 "\"}" }' >"$history/list.first"
        tr ' ' '\n' <<<"${3:-$2}" | awk '{ print "{\"id\":" NR ",\"message\":\"" $0 "\"}" }' >"$history/list.second"
        said=$(history_check 2>&1) || true
        [[ $said == *"$1"* ]] || {
            echo "history: the checker does not say \"$1\" of $2 and ${3:-$2}, but: $said" >&2
            exit 1
        }
    }
    says "all 4 that were acknowledged are there" "a-1 b-1 a-2 b-2 a-3"
    says "b-2 was acknowledged as 4 and is lost" "a-1 b-1 a-2"
    says "a-2 is there twice, as 3 and 5" "a-1 b-1 a-2 b-2 a-2"
    says "a-1, as 3, is behind a-2" "a-2 b-1 a-1 b-2"
    says "b-1 was acknowledged as 2 and is 3" "a-1 a-2 b-1 b-2"
    says "differ: byte" "a-1 b-1 a-2 b-2 a-3" "a-1 b-1 a-2 b-2 b-3"
)
