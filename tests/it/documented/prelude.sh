# What the shell of the test adds to that of a reader. Each document is one script: this prelude,
# then its commands in their order.
set -euo pipefail

# Says which block was running when a command failed, and stops what was started.
at() { block=$1; }
end() {
    status=$?
    [ "$status" = 0 ] || echo "documented: the block at $block ended with status $status" >&2
    stop node && stop shim
}
trap end EXIT

# A reader gives a node or a shim a terminal of its own, waits until it serves, and ends it with
# Ctrl-C before he starts another.
jeton() {
    case "$*" in
        *--exit-after-check*) command jeton "$@" ;;
        serve* | dev*) service node "$@" ;;
        shim*) JETON_HTTP_ADDR=127.0.0.1:0 service shim "$@" ;;
        *) command jeton "$@" ;;
    esac
}

service() {
    local name=$1
    shift
    stop "$name"
    : >"$name.log"
    JETON_PROBE_ADDR=127.0.0.1:0 command jeton "$@" >"$name.log" 2>&1 &
    echo $! >"$name.pid"
    until grep --quiet 'serving \|Serving until' "$name.log"; do
        kill -0 "$(cat "$name.pid")" || { cat "$name.log" >&2 && return 1; }
        sleep 0.1
    done
    [ "$1" != dev ] || credentials
}

stop() {
    [ -f "$1.pid" ] || return 0
    kill "$(cat "$1.pid")" 2>/dev/null && wait "$(cat "$1.pid")" || true
    rm "$1.pid"
}

# What `jeton dev` has printed for the reader to use.
credentials() {
    CLIENT_ID=dev-client
    CLIENT_SECRET=$(grep --only-matching 'jts_[A-Za-z0-9_-]*' node.log | sed -n 1p)
    TOKEN=$(grep --only-matching 'token=jta_[A-Za-z0-9_-]*' node.log | sed -n '1s/token=//p')
    BASIC=$(printf '%s:%s' "$CLIENT_ID" "$CLIENT_SECRET" | base64 --wrap 0)
}

# The id of the oldest secret of a client, which `jeton client show` shows.
secret_id() { command jeton client show "$1" --json | jq -r '.secrets[0].secret_id'; }

# `cargo run` would build the binary that is tested already.
cargo() {
    while [ "$1" != -- ]; do shift; done
    shift
    jeton "$@"
}

# Other tests have nodes too.
pgrep() { cat node.pid; }

# An answer with an error is a failure here.
curl() { command curl --silent --fail-with-body "$@"; }
