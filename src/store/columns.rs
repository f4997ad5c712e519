//! The columns of a client and of a secret, as every SELECT on both databases names them and as
//! `row.rs` reads them. A new column also goes into the INSERTs of `clients.rs` and the grants of
//! `roles.sql`.

/// Columns of `client`.
macro_rules! client_columns {
    () => {
        "client.id, client.client_id, client.name, client.state, client.grant_types, \
         client.scopes, client.default_scopes, client.audiences, \
         client.default_audience, client.several_audiences, client.serves, \
         client.token_lifetime_seconds, client.tokens_per_second, client.token_burst, \
         client.live_tokens, client.not_before, client.created_at, client.version, \
         client.generation"
    };
}

/// Columns of `client` with those that only administrators see.
macro_rules! client_record_columns {
    () => {
        concat!(
            client_columns!(),
            ", client.labels, client.owner, client.note, client.grantable_scopes, \
             client.grantable_audiences"
        )
    };
}

/// Columns of `client_secret`, which the query calls `secret`. The hash is the one that the text is
/// compared with. Lists select an empty text, because not every role may read hashes.
macro_rules! secret_columns {
    () => {
        concat!(secret_columns!("coalesce(secret.foreign_hash, secret.hash)"), "")
    };
    ($hash:literal) => {
        concat!(
            "secret.id as secret_id, secret.client as secret_client, ",
            $hash,
            " as hash, secret.label, secret.created_at as secret_created_at, secret.expires_at, \
             secret.retired_at, secret.burnt_at, secret.retire_at, secret.kept_expires_at, \
             secret.forgotten_at"
        )
    };
}

/// Columns of `access_token`, which the query calls `token`, with everything that decides whether
/// the token is active, and the columns of its client, which the query joins. A missing row grants
/// nothing: a deleted secret counts as leaked. Not every role may read digests.
macro_rules! token_columns {
    ($digest:literal) => {
        concat!(
            "token.id as token_id, ",
            $digest,
            " as digest, token.client, token.secret, token.scopes as token_scopes, \
             token.audiences as token_audiences, token.issued_at, token.expires_at, \
             exists (select 1 from revoked_token where revoked_token.id = token.id) as revoked, \
             not exists (select 1 from client_secret where client_secret.id = token.secret \
                             and client_secret.burnt_at is null) as credential_leaked, \
             token.generation as token_generation, \
             (select generation from installation) as installation_generation, \
             exists (select 1 from installation) as is_installed, \
             (select not_before from installation) as installation_not_before, ",
            $crate::store::columns::client_columns!()
        )
    };
}

pub(super) use {client_columns, client_record_columns, secret_columns, token_columns};

/// Condition on a row `live` of `client_secret`: it is live at this moment.
macro_rules! live_secret {
    ($moment:literal) => {
        concat!(
            "live.retired_at is null and live.burnt_at is null \
             and (live.expires_at is null or live.expires_at > ",
            $moment,
            ")"
        )
    };
}

/// Condition on the row of `client_secret` that is to end at the moment $4: it may be the last one,
/// or is not live, or its client keeps another live one whose retirement was not announced.
macro_rules! may_end {
    ($even_if_last:literal) => {
        concat!(
            "(",
            $even_if_last,
            " or not exists (select 1 from client_secret as live
                             where live.id = client_secret.id and ",
            $crate::store::columns::live_secret!("$4"),
            ") or exists (select 1 from client_secret as live
                          where live.client = client_secret.client
                            and live.id <> client_secret.id and live.retire_at is null and ",
            $crate::store::columns::live_secret!("$4"),
            "))"
        )
    };
}

pub(super) use {live_secret, may_end};

/// The tag keys of the installation.
pub(super) const TAG_KEYS: &str =
    "select tag_key, next_tag_key, previous_tag_key from installation";

/// Condition on an earlier secret: it has a tag, is live at the moment $1, was made before the
/// current tag key was used, and ends with the previous one, which is still accepted.
macro_rules! earlier_secret {
    () => {
        "not secret.is_foreign and secret.retired_at is null and secret.burnt_at is null \
         and (secret.expires_at is null or secret.expires_at > $1) \
         and secret.created_at <= (select tag_key_since from installation \
                                   where previous_tag_key is not null)"
    };
}

pub(super) use earlier_secret;

/// The state of the rotation of the tag key at the moment $1.
pub(super) const TAG_KEY_ROTATION: &str = concat!(
    "select tag_key_since, next_tag_key is not null as has_next, \
            previous_tag_key is not null as has_previous, \
            (select count(*) from client_secret as secret where ",
    earlier_secret!(),
    ") as earlier_secrets from installation"
);

/// Summary of the secrets of each client that are not retired: those that are live at the moment
/// $1, and those that have expired. $2 is the end of time. A retirement that begins later counts as
/// the end of its secret.
pub(super) const LIVE_SECRETS: &str = "\
select client,
       count(*) filter (where expires_at is null or expires_at > $1) as live,
       count(*) filter (where expires_at is null or expires_at >= $2) as endless,
       min(expires_at) filter (where expires_at > $1 and expires_at < $2) as first_end,
       count(*) filter (where expires_at <= $1) as expired
from client_secret
where retired_at is null and burnt_at is null and (retire_at is null or expires_at > $1)
group by client";

/// The first $3 secrets of active clients that end between $1 and $2 and are neither retired nor
/// going to be. Of those that end at $1, only those with an id after $4.
pub(super) const ENDING_SECRETS: &str = "\
select client.client_id, secret.id, secret.expires_at
from client_secret as secret
     join client on client.id = secret.client and client.state = 'active'
where secret.retired_at is null and secret.burnt_at is null and secret.retire_at is null
  and secret.expires_at between $1 and $2 and (secret.expires_at > $1 or secret.id > $4)
order by secret.expires_at, secret.id limit $3";

/// Clients with earlier secrets, and how many each has.
pub(super) const EARLIER_SECRETS: &str = concat!(
    "select client.client_id, count(*) as earlier_secrets \
     from client_secret as secret join client on client.id = secret.client where ",
    earlier_secret!(),
    " group by client.client_id order by client.client_id"
);

/// Uses of the secrets of the client $1.
pub(super) const SECRET_USES: &str = "\
select secret_use.secret, secret_use.first_used_at, secret_use.last_used_at,
       secret_use.last_source, secret_use.uses, secret_use.refused, secret_use.last_refused_at,
       secret_use.last_refused_source
from secret_use
     join client_secret on client_secret.id = secret_use.secret
     join client on client.id = client_secret.client
where client.client_id = $1";

/// Sources of these uses, the newest first.
pub(super) const SECRET_SOURCES: &str = "\
select secret_source.secret, secret_source.source, secret_source.first_used_at,
       secret_source.last_used_at, secret_source.uses
from secret_source
     join client_secret on client_secret.id = secret_source.secret
     join client on client.id = client_secret.client
where client.client_id = $1
order by secret_source.last_used_at desc, secret_source.source";

/// The first $3 active clients from before $1 that have not authenticated from then on, and whose
/// client id comes after $2. `$client_id` is that column in the order of its bytes.
macro_rules! unused_clients {
    ($client_id:literal) => {
        concat!(
            "select client.client_id,
                    (select max(secret_use.last_used_at)
                     from client_secret join secret_use on secret_use.secret = client_secret.id
                     where client_secret.client = client.id) as last_used_at
             from client
             where client.state = 'active' and client.created_at <= $1
               and not exists (
                    select 1
                    from client_secret join secret_use on secret_use.secret = client_secret.id
                    where client_secret.client = client.id and secret_use.last_used_at >= $1)
               and ",
            $client_id,
            " > $2 order by ",
            $client_id,
            " limit $3"
        )
    };
}

pub(super) use unused_clients;
