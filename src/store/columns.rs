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
