#!/usr/bin/env bash
# test/hosts/hosts.sh: hosts with addresses of their own, for a script that sources this. Each host is a network
# namespace, and all are on one switch; names are in a hosts file of their own. Needs root, and changes nothing of the
# machine: all is in namespaces, and gone with the script.

PATH=$PATH:/usr/sbin
tools/install ip:iproute2

# hosts_inside SCRIPT ARGUMENT...: the script that calls this begins anew, in namespaces where it may do the rest. What
# needs the network comes before.
hosts_inside() {
    [ -z "${HOSTS_INSIDE:-}" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "$1: run this as root: it makes network namespaces" >&2
        exit 1
    fi
    HOSTS_INSIDE=1 exec unshare --net --mount --propagation private "$@"
}

# hosts_open FILE ADDRESS: this script is on the switch as well, at that address; FILE is /etc/hosts from now on. Write
# it in place: > FILE, not mv.
hosts_open() {
    mount -t tmpfs hosts /run
    : >"$1"
    mount --bind "$1" /etc/hosts
    ip link set lo up
    ip link add switch type bridge
    ip address add "$2/24" dev switch
    ip link set switch up
}

# host_add NAME ADDRESS
host_add() {
    ip netns add "$1"
    ip link add "to-$1" type veth peer name eth0 netns "$1"
    ip link set "to-$1" master switch up
    ip -n "$1" address add "$2/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" link set lo up
}

# host_lose NAME: its cable is cut, and it is gone, without a word to its peers.
host_lose() {
    ip link delete "to-$1"
    ip netns delete "$1"
}

# host_exec NAME COMMAND...: takes this shell's place: ( host_exec a sleep 1 ) & kill $! ends the command itself.
host_exec() {
    exec ip netns exec "$@"
}
