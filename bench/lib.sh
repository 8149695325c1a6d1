# Shared by the side-by-side runs in this folder: starts the systems, waits until they are ready, runs the
# load generator, and ends by its pid all that was started. Sourced, not run.
#
# Settings come from the environment or from flags of the same name in lower case (CLIENTS is --clients); a
# flag wins. A script sets its defaults with `defaults NAME=value ...` and then calls `read_flags "$@"`.
#
# BIN_DIR   where master and secondary are (default: build)
# RESULTS   a file that gets each summary as one line of JSON (default: none)

# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BIN_DIR=${BIN_DIR:-$root/build}
RESULTS=${RESULTS:-}
load=$root/build/bench/load

pids=()         # all that runs, oldest first
log_pids=()     # the master first
log_ports=()
redis_pids=()   # the redis master first
redis_ports=()
work=           # temporary directory
load_line=      # what the load generator printed last
our_name=log    # the columns' names
their_name=redis

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

# --- settings

# defaults NAME=value ...: for those that the environment does not set.
defaults() {
    local pair name
    setting_names=()
    for pair in "$@"; do
        name=${pair%%=*}
        setting_names+=("$name")
        [[ -n ${!name-} ]] || printf -v "$name" '%s' "${pair#*=}"
    done
}

# The comment at a script's head is its help.
print_help() {
    sed -n '2,/^$/s/^#\( \|$\)//p' "$0"
    exit 0
}

# read_flags ARGS...: --name value or --name=value for each name given to `defaults`.
read_flags() {
    local name value
    while (($#)); do
        [[ $1 != --help ]] || print_help
        name=${1%%=*}
        if [[ $1 == *=* ]]; then
            value=${1#*=}
        else
            value=${2-}
            shift
        fi
        name=${name#--}
        name=${name//-/_}
        [[ " ${setting_names[*]} " == *" ${name^^} "* && -n $value ]] || fail "--${name//_/-}: not known, or no value"
        printf -v "${name^^}" '%s' "$value"
        shift
    done
}

# --- what must be there

# Builds the load generator where it is missing or older than its source.
need_load() {
    local source
    for source in "$root"/bench/*.[ch]; do
        [[ $load -nt $source ]] && continue
        say "building ${load#"$root"/}"
        mkdir -p "$(dirname "$load")"
        "${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O2 "$root"/bench/*.c -o "$load"
        return
    done
}

need_programs() {
    [[ -x $BIN_DIR/master && -x $BIN_DIR/secondary ]] || make -s -C "$root"
    [[ -x $BIN_DIR/master && -x $BIN_DIR/secondary ]] || fail "no master and secondary in $BIN_DIR"
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# need_package SERVER PACKAGE: installs Debian's package where the server is missing. Debian starts a service with its
# package; it is ended and kept from starting again, since only the runs below need it.
need_package() {
    command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]] && return
    "$root/tools/install" "$2" >&2
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl --quiet disable --now "$2"
    elif [[ -x /etc/init.d/$2 ]]; then
        as_root "/etc/init.d/$2" stop >/dev/null || true
    fi
}

# need_descriptors COUNT: all that is started raises its own soft limit; the hard one must allow it.
need_descriptors() {
    local limit
    limit=$(ulimit -Hn)
    [[ $limit == unlimited ]] || ((limit >= $1)) || ulimit -Hn "$1" 2>/dev/null ||
        fail "$1 descriptors for a process are needed, and the hard limit is $limit"
}

# --- processes

# A wait that starts no process: nothing ever comes from this descriptor.
exec {never}<> <(:)
pause() {
    read -rt "$1" -u "$never" || true
}

begin() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
    trap end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    warn_if_busy
}

# processor_ticks: all that passed, in $all, and those without work, in $idle.
processor_ticks() {
    local field fields
    read -ra fields </proc/stat
    all=0
    for field in "${fields[@]:1:8}"; do
        ((all += field))
    done
    idle=$((fields[4] + fields[5]))
}

# How much of the processors' time others use now, in percent, in $busy.
measure_busy() {
    local all idle all_before idle_before
    processor_ticks
    all_before=$all idle_before=$idle
    pause 0.5
    processor_ticks
    busy=$((100 - 100 * (idle - idle_before) / (all - all_before)))
}

# Figures taken beside other work say little, ratios included.
warn_if_busy() {
    local busy
    measure_busy
    ((busy <= 10)) || say "warning: others keep the processors $busy % busy; the figures will vary"
}

# launch NAME COMMAND...: in the background, its output in $work/NAME.log. Its pid is ${pids[-1]}.
launch() {
    local name=$1
    shift
    : >"$work/$name.log"
    "$@" >>"$work/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

is_running() {
    kill -0 "$1" 2>/dev/null
}

# stop PID...: asks, waits, and insists after 5 s.
stop() {
    local pid tries
    (($# == 0)) || kill "$@" 2>/dev/null || true
    for pid in "$@"; do
        kill -CONT "$pid" 2>/dev/null || true
        for ((tries = 0; tries < 500; tries++)); do
            is_running "$pid" || break
            pause 0.01
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        forget "$pid"
    done
}

forget() {
    local pid kept=()
    for pid in "${pids[@]}"; do
        [[ $pid == "$1" ]] || kept+=("$pid")
    done
    pids=("${kept[@]}")
}

# The jobs that are left, too: a signal may have come between the start of one and the note of its pid.
stop_all() {
    local running
    stop "${pids[@]}"
    mapfile -t running < <(jobs -rp)
    stop "${running[@]}"
    log_pids=() log_ports=() redis_pids=() redis_ports=()
}

end() {
    local code=$?
    trap - EXIT
    if ((code == 1)) && [[ -d $work ]]; then
        tail -n 5 "$work"/*.log >&2 || true
    fi
    stop_all
    [[ -z $work ]] || rm -rf "$work"
    exit "$code"
}

# eventually SECONDS WHAT COMMAND...: repeats the command until it succeeds.
eventually() {
    local limit=$1 what=$2 tries
    shift 2
    for ((tries = 0; tries < limit * 100; tries++)); do
        ! "$@" || return 0
        pause 0.01
    done
    fail "$what: not within $limit s"
}

# --- asking a server, without starting a process

# tcp_ask PORT FORMAT ARGS...: sends what printf makes of it; the first line of the answer is in $answer.
tcp_ask() {
    local port=$1 format=$2 fd ok=1
    shift 2
    answer=
    { exec {fd}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    # shellcheck disable=SC2059
    printf "$format" "$@" >&"$fd" && IFS= read -rt 5 -u "$fd" answer || ok=0
    exec {fd}>&-
    answer=${answer%$'\r'}
    ((ok))
}

http_request='GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'

# http_has PORT TARGET: whether it is answered 200.
http_has() {
    tcp_ask "$1" "$http_request" "$2" 2>/dev/null && [[ $answer == "HTTP/1.1 200 "* ]]
}

# http_body PORT TARGET: prints the answer's body.
http_body() {
    local fd
    { exec {fd}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    # shellcheck disable=SC2059
    printf "$http_request" "$2" >&"$fd"
    sed '1,/^\r$/d' <&"$fd"
    exec {fd}>&-
}

# A port that nobody listens on, below those that the kernel hands out.
free_port() {
    while :; do
        port=$((20000 + RANDOM % 10000))
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
}

# --- the replicated log

# Fills $port from the program's own line.
listening_port() {
    local line
    line=$(grep -om1 'listening on http://[^ "]*' "$work/$1.log") || return 1
    port=${line##*:}
    port=${port%%[^0-9]*}
}

# launch_node NAME PROGRAM FLAGS...: one node with default settings; its port is in $port.
launch_node() {
    local name=$1 program=$2
    shift 2
    launch "$name" "$BIN_DIR/$program" --host 127.0.0.1 --port 0 "$@"
    eventually 10 "$name listens" listening_port "$name"
    log_pids+=("${pids[-1]}")
    log_ports+=("$port")
}

# cluster_healthy COUNT: whether the master lists so many healthy secondaries.
cluster_healthy() {
    local health left
    health=$(http_body "${log_ports[0]}" /health) || return 1
    left=${health//'"state":"healthy"'/}
    (((${#health} - ${#left}) / 17 == $1))
}

# start_log SECONDARIES [MASTER FLAGS...]: a master and its secondaries, all of them known to it.
start_log() {
    local count=$1 i
    shift
    log_pids=() log_ports=()
    launch_node master master "$@"
    for ((i = 1; i <= count; i++)); do
        launch_node "secondary$i" secondary --master-url "http://127.0.0.1:${log_ports[0]}"
    done
    eventually 20 "$count secondaries are healthy" cluster_healthy "$count"
}

# log_holds ID: whether every node shows the message.
log_holds() {
    local node
    for node in "${log_ports[@]}"; do
        http_has "$node" "/messages/$1" || return 1
    done
}

stop_log() {
    local i
    for ((i = ${#log_pids[@]} - 1; i >= 0; i--)); do # the master last, so that nobody looks for it
        stop "${log_pids[i]}"
    done
    log_pids=() log_ports=()
}

# --- redis

# launch_redis NAME FLAGS...: in memory alone, otherwise as it comes; its port is in $port. Protected mode
# would refuse the load generator's other loopback addresses.
launch_redis() {
    local name=$1
    shift
    free_port
    mkdir -p "$work/$name"
    launch "$name" "${PEER:-redis-server}" --port "$port" --bind 127.0.0.1 --protected-mode no --dir "$work/$name" \
        --save '' --appendonly no --repl-diskless-sync yes --repl-diskless-sync-delay 0 "$@"
    redis_pids+=("${pids[-1]}")
    redis_ports+=("$port")
}

redis_answers() {
    tcp_ask "$1" 'PING\r\n' 2>/dev/null && [[ $answer == +PONG ]]
}

# redis_replicas_online COUNT
redis_replicas_online() {
    local info left
    info=$(redis-cli -p "${redis_ports[0]}" info replication) || return 1
    left=${info//state=online/}
    (((${#info} - ${#left}) / 12 == $1))
}

# Whether so many replicas acknowledge a write. A replica is online before that: its master sends it no write
# until its first ACK, a second later at worst.
redis_replicas_follow() {
    [[ $(printf 'SET ready 1\nWAIT %s 100\n' "$1" | redis-cli -p "${redis_ports[0]}") == $'OK\n'"$1" ]]
}

# start_redis REPLICAS FLAGS...: a master and its replicas, all of them in step.
start_redis() {
    local count=$1 i
    shift
    redis_pids=() redis_ports=()
    launch_redis redis "$@"
    eventually 10 "redis answers" redis_answers "${redis_ports[0]}"
    for ((i = 1; i <= count; i++)); do
        launch_redis "replica$i" --replicaof 127.0.0.1 "${redis_ports[0]}" "$@"
    done
    eventually 30 "$count replicas are online" redis_replicas_online "$count"
    eventually 30 "$count replicas follow" redis_replicas_follow "$count"
}

# redis_holds COUNT LIST: whether every node has so many messages in the list.
redis_holds() {
    local node
    for node in "${redis_ports[@]}"; do
        tcp_ask "$node" 'LLEN %s\r\n' "$2" 2>/dev/null && [[ $answer == ":$1" ]] || return 1
    done
}

stop_redis() {
    stop "${redis_pids[@]}"
    redis_pids=() redis_ports=()
}

# --- measuring

# run_load FLAGS...: its JSON line is in $load_line. A wrong or missing answer ends the script: a rate with
# errors in it is no rate.
run_load() {
    load_line=$("$load" "$@" 2>"$work/load.err") || fail "load $*: $(<"$work/load.err") ${load_line}"
}

# post_load PORT FLAGS...: by the settings that the scripts with POSTs share.
post_load() {
    run_load --port "$1" --clients "$CLIENTS" --bytes "$BYTES" --seconds "$DURATION" --warmup "$WARMUP" "${@:2}"
}

# post_log FLAGS..., post_redis FLAGS...
post_log() {
    post_load "${log_ports[0]}" "$@"
}

post_redis() {
    post_load "${redis_ports[0]}" --rpush list --wait "$SECONDARIES" "$@"
}

# field NAME [LINE]: a number of the load generator's line, in $value.
field() {
    local line=${2-$load_line}
    [[ $line =~ \"$1\":([0-9.]+) ]] || fail "no $1 in: $line"
    value=${BASH_REMATCH[1]}
}

# median NUMBERS...
median() {
    printf '%s\n' "$@" | sort -g | awk '{ n[NR] = $1 } END { print (n[int((NR + 1) / 2)] + n[int(NR / 2) + 1]) / 2 }'
}

# median_of NAME LINES...: of one field of several of the load generator's lines.
median_of() {
    local name=$1 line value values=()
    shift
    for line in "$@"; do
        field "$name" "$line"
        values+=("$value")
    done
    median "${values[@]}"
}

# quotient A B
quotient() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'
}

# describe NAME LINE: one run, for people.
describe() {
    local rate p50 p99 value
    field rate "$2"
    rate=${value%.*}
    field p50_us "$2"
    p50=${value%.*}
    field p99_us "$2"
    p99=${value%.*}
    printf '  %-8s %8s/s   p50 %7s us   p99 %7s us\n' "$1" "$rate" "$p50" "$p99"
}

# note JSON: keeps a summary line.
note() {
    [[ -z $RESULTS ]] || printf '%s\n' "$1" >>"$RESULTS"
}

# run_side NAME COMMAND LINES: calls the command, and adds the line that it leaves to the array of that name.
run_side() {
    "$2"
    local -n side_lines=$3
    side_lines+=("$load_line")
    describe "$1" "$load_line"
}

# alternate RUNS TURNS BEGIN OUR_COMMAND THEIR_COMMAND END: calls BEGIN, then the two by turns, TURNS times, then END,
# and all of that RUNS times. Each of the two leaves $load_line; they end up in $our_lines and $their_lines, those of
# one turn in the same place. Turns are short and the two change places in them, so that what else the machine does
# meets both; BEGIN starts systems anew, because no two starts are alike.
alternate() {
    local run turn
    our_lines=() their_lines=()
    for ((run = 1; run <= $1; run++)); do
        "$3"
        for ((turn = 1; turn <= $2; turn++)); do
            if (((run + turn) % 2 == 0)); then
                run_side "$our_name" "$4" our_lines
                run_side "$their_name" "$5" their_lines
            else
                run_side "$their_name" "$5" their_lines
                run_side "$our_name" "$4" our_lines
            fi
        done
        "$6"
    done
}

# ratios_of NAME: of one field, ours by theirs, one for each turn.
ratios_of() {
    local i ours value
    for ((i = 0; i < ${#our_lines[@]}; i++)); do
        field "$1" "${our_lines[i]}"
        ours=$value
        field "$1" "${their_lines[i]}"
        quotient "$ours" "$value"
        printf '\n'
    done
}

# summarize ROW JSON_FIELDS: medians of the last `alternate`, and the median of the turns' ratios. Ratios are ours by
# theirs: more is better for rates, less is better for latencies.
summarize() {
    local name ours theirs ratio ratios row="{\"row\":\"$1\",$2"
    for name in rate p50_us p99_us; do
        ours=$(median_of "$name" "${our_lines[@]}")
        theirs=$(median_of "$name" "${their_lines[@]}")
        mapfile -t ratios < <(ratios_of "$name" | sort -g)
        ratio=$(median "${ratios[@]}")
        printf 'median %-7s %s %s   %s %s   ratio %s (%s to %s)\n' "$name" "$our_name" "$ours" "$their_name" "$theirs" \
            "$ratio" "${ratios[0]}" "${ratios[-1]}"
        row+=",\"${our_name}_$name\":$ours,\"${their_name}_$name\":$theirs,\"${name}_ratio\":$ratio"
    done
    note "$row}"
}
