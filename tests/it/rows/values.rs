//! What somebody may write into a column, and what may come of it.

use crate::support::Kind;

/// A value as it is called here, and as a statement writes it.
pub(super) type Value = (&'static str, &'static str);

/// Text that is no name of anything, with what a terminal would obey.
const ODD: &str = "odd text";

/// Every value that is tried in a column of this type. Most columns refuse some of them.
pub(super) fn of(kind: Kind, of_type: &str) -> Vec<Value> {
    let mut values = match (kind, of_type) {
        // A moment is a number there, and so is its end.
        (Kind::Sqlite, "integer") => vec![
            ("infinity", "9223372036854775807"),
            ("-infinity", "-9223372036854775808"),
            ("4713 BC", "-210863520000000000"),
        ],
        _ => vec![
            ("infinity", "'infinity'"),
            ("-infinity", "'-infinity'"),
            ("4713 BC", "'4713-01-01 BC'"),
        ],
    };
    values.push(("null", "null"));
    values.extend_from_slice(match (kind, of_type) {
        (Kind::Postgres, "timestamp with time zone") => {
            &[("the last", "'294276-12-31 23:59:59.999999Z'")]
        }
        (Kind::Postgres, "uuid") => &[("other", "gen_random_uuid()")],
        (Kind::Postgres, "text") => &[(ODD, r#"E'a "b\x07'"#), ("empty", "''")],
        (Kind::Postgres, "text[]") => &[
            ("empty", "'{}'"),
            (ODD, r#"'{"a b"}'"#),
            ("with null", "'{a,null}'"),
            ("two dimensions", "'{{a},{b}}'"),
            ("from 0 on", "'[0:0]={a}'"),
            ("very many", "(select array_agg(n::text) from generate_series(1, 1000) as n)"),
        ],
        (Kind::Postgres, "integer" | "bigint") => {
            &[("-1", "-1"), ("0", "0"), ("large", "2147483647"), ("huge", "9223372036854775807")]
        }
        (Kind::Postgres, "bytea") => &[("empty", "''"), ("a byte", r"'\x00'")],
        (Kind::Postgres, "boolean") => &[("false", "false")],
        (Kind::Postgres, "jsonb") => &[("odd JSON", "'null'")],
        (Kind::Sqlite, "integer") => {
            &[("-1", "-1"), ("0", "0"), ("1.5", "1.5"), (ODD, "'odd'"), ("a byte", "x'00'")]
        }
        (Kind::Sqlite, "text") => &[
            (ODD, r#"'a "b' || char(7)"#),
            ("empty", "''"),
            ("not UTF-8", "cast(x'ff' as text)"),
            ("a byte", "x'00'"),
        ],
        (Kind::Sqlite, "blob") => {
            &[("empty", "x''"), ("a byte", "x'00'"), ("other", "randomblob(16)")]
        }
        _ => panic!("no garbage for {of_type} on {kind:?}"),
    });
    values
}

/// With which values something still holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    Always,
    Only(&'static [&'static str]),
    /// Nothing is claimed of it here.
    Perhaps,
}

impl Holds {
    pub(super) fn with(self, value: &str) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            Self::Only(values) => Some(values.contains(&value)),
            Self::Perhaps => None,
        }
    }
}

const NEVER: Holds = Holds::Only(&[]);
/// What can be a set of scopes or audiences: on SQLite the first three are.
const SETS: Holds = Holds::Only(&["infinity", "-infinity", "4713 BC", "empty"]);
const TEXTS: Holds = Holds::Only(&["infinity", "-infinity", "4713 BC", "empty", ODD]);
const NAMES_OR_NONE: Holds = Holds::Only(&["infinity", "-infinity", "null"]);
/// On SQLite every integer is one.
const FLAGS: Holds = Holds::Only(&["infinity", "-infinity", "4713 BC", "false", "-1", "0"]);
const PAST: Holds = Holds::Only(&["-infinity", "4713 BC", "null", "-1", "0"]);
const MOMENTS: Holds = Holds::Only(&["infinity", "-infinity", "4713 BC", "the last", "-1", "0"]);
const MOMENTS_OR_NONE: Holds =
    Holds::Only(&["infinity", "-infinity", "4713 BC", "null", "the last", "-1", "0"]);
const NUMBERS: Holds =
    Holds::Only(&["infinity", "-infinity", "4713 BC", "-1", "0", "large", "huge"]);
/// Limits of a quota; without one, that of the node.
const LIMITS: Holds = NULL;
const NULL: Holds = Holds::Only(&["null"]);
/// Generations that have ended no token, and those of tokens that none has ended.
const LOW: Holds = Holds::Only(&["-infinity", "4713 BC", "-1", "0"]);
const COUNTED: Holds = Holds::Only(&["infinity", "null", "large", "huge"]);

/// With which values of a column its client's token is active, and with which the client can
/// authenticate; in the row of the installation, with which tokens are issued. Each column has to
/// stand here.
pub(super) fn claims(column: &str) -> (Holds, Holds) {
    match column {
        "client.id" | "client.state" | "client.token_lifetime_seconds" => (NEVER, NEVER),
        "client.client_id" => (Holds::Only(&["infinity", "-infinity"]), NEVER),
        "client.name" => (TEXTS, TEXTS),
        "client.grant_types" => (Holds::Only(&["empty"]), Holds::Only(&["empty"])),
        // What is taken from the client is taken from its token.
        "client.scopes" | "client.audiences" => (NEVER, SETS),
        "client.default_scopes" | "client.serves" => (SETS, SETS),
        "client.default_audience" => (NAMES_OR_NONE, NAMES_OR_NONE),
        "client.several_audiences" => (FLAGS, FLAGS),
        "client.not_before" => (PAST, MOMENTS_OR_NONE),
        "client.created_at" => (MOMENTS, MOMENTS),
        "client.tokens_per_second" | "client.token_burst" | "client.live_tokens" => {
            (LIMITS, LIMITS)
        }
        "client.version" => (NUMBERS, NUMBERS),
        // A larger one has ended the token.
        "client.generation" | "installation.generation" => (LOW, NUMBERS),
        // What a token is worth whose secret is not there is tried elsewhere.
        "client_secret.id" => (Holds::Perhaps, NEVER),
        "client_secret.client" | "client_secret.hash" => (Holds::Always, NEVER),
        "client_secret.label" => (Holds::Always, TEXTS),
        "client_secret.created_at" => (Holds::Always, MOMENTS),
        "client_secret.expires_at" => {
            (Holds::Always, Holds::Only(&["infinity", "null", "the last"]))
        }
        // A hash of another system stands in place of the one of Jeton.
        "client_secret.foreign_hash" | "client_secret.retired_at" => (Holds::Always, NULL),
        "client_secret.burnt_at" => (NULL, NULL),
        // Shown to operators; the expiry decides.
        "client_secret.retire_at"
        | "client_secret.kept_expires_at"
        | "client_secret.forgotten_at" => (Holds::Always, MOMENTS_OR_NONE),
        // A revocation of another token is none of this one.
        "access_token.secret" | "revoked_token.id" => (Holds::Perhaps, Holds::Always),
        // Scopes that the client has not are none.
        "access_token.scopes" => (Holds::Only(&["empty"]), Holds::Always),
        // Those of a version that did not count have none.
        "access_token.generation" => (COUNTED, Holds::Always),
        "access_token.id"
        | "access_token.digest"
        | "access_token.client"
        | "access_token.audiences"
        | "access_token.issued_at"
        | "access_token.expires_at"
        | "revoked_token.revoked_at"
        | "revoked_token.keep_until" => (NEVER, Holds::Always),
        "installation.not_before" => (PAST, Holds::Always),
        // Nodes do not read what operators note of a client, and what concerns secrets is tried
        // elsewhere.
        "client.labels"
        | "client.owner"
        | "client.note"
        | "client.grantable_scopes"
        | "client.grantable_audiences"
        | "client_secret.is_foreign"
        | "installation.singleton"
        | "installation.tag_key"
        | "installation.next_tag_key"
        | "installation.previous_tag_key"
        | "installation.tag_key_since"
        | "installation.created_at" => (Holds::Always, Holds::Always),
        _ => panic!("{column}: say here what may come of it"),
    }
}
