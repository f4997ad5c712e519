//! The columns of a client and of a secret, as every SELECT on both databases names them and as
//! `row.rs` reads them. A new column also goes into the INSERTs of `clients.rs` and the grants of
//! `roles.sql`.

/// Columns of `client`.
macro_rules! client_columns {
    () => {
        "client.id, client.client_id, client.name, client.state, client.grant_types, \
         client.scopes, client.default_scopes, client.audiences, client.serves, \
         client.token_lifetime_seconds, client.tokens_per_second, client.token_burst, \
         client.live_tokens, client.not_before, client.created_at, client.version, \
         client.generation"
    };
}

/// Columns of `client_secret`, which the query calls `secret`. Lists select an empty text as
/// `hash`, because not every role may read hashes.
macro_rules! secret_columns {
    () => {
        concat!(secret_columns!("secret.hash"), "")
    };
    ($hash:literal) => {
        concat!(
            "secret.id as secret_id, secret.client as secret_client, ",
            $hash,
            " as hash, secret.label, secret.created_at as secret_created_at, secret.expires_at, \
             secret.retired_at, secret.burnt_at"
        )
    };
}

pub(super) use {client_columns, secret_columns};

/// The tag keys of the installation.
pub(super) const TAG_KEYS: &str =
    "select tag_key, next_tag_key, previous_tag_key from installation";

/// The state of the rotation of the tag key at a moment.
pub(super) const TAG_KEY_ROTATION: &str = "\
select tag_key_since, next_tag_key is not null as has_next,
       previous_tag_key is not null as has_previous,
       (select count(*) from client_secret
        where retired_at is null and burnt_at is null and created_at <= tag_key_since
          and (expires_at is null or expires_at > $1)) as earlier_secrets
from installation";
