//! Conversion of rows to domain values, shared by both databases.
//!
//! Values were validated when they were written, but operators also edit rows by hand. So every
//! value is parsed again here, one row at a time: an unreadable row is a fault of its own client,
//! secret or token and of no other.

mod cells;
mod evidence;
mod expiry;
mod explain;
mod grantable;
mod installation;
mod kept;
mod owner;
mod unreadable;

use std::{collections::HashSet, sync::Arc, time::Duration};

use uuid::Uuid;

pub use self::unreadable::UnreadableRow;
use self::{cells::parsed, grantable::grantable};
pub(super) use self::{
    cells::{BadCell, Cell, Cells, cell},
    evidence::{evidence, last_use, secret_uses, unused_client},
    expiry::{earlier_secrets, ending_secret, live_secrets},
    explain::{stored_token, stored_tokens, token_digest},
    installation::{no_installation, tag_key_rotation, tag_keys},
    kept::{deleted_client, earlier_request},
    owner::owned_secret,
};
use super::{Change, FoundClient, FoundOrFault, FoundToken, Readable};
use crate::domain::{
    About, AccessToken, Audience, AuditEntry, AuditHash, AuditMark, Client, ClientId, ClientKey,
    ClientQuota, ClientRecord, ClientState, CredentialId, GrantType, Granted, Labels, Malformed,
    QuotaLimit, Retiring, Scope, SecretHash, SecretId, StoredCredential, StoredSecret, Timestamp,
    TokenDigest, TokenFacts, TokenId, TokenLifetime,
};

/// How much longer than the maximum lifetime a stored token may live. The schema allows one second
/// for an expiry that is rounded up to a whole second.
const ROUNDED_UP: Duration = Duration::from_secs(1);

/// Reads a row of `client`.
pub(super) fn client(row: &impl Cells) -> Readable<Client> {
    client_cells(row).map_err(|bad| unreadable_client(row, bad))
}

fn unreadable_client(row: &impl Cells, bad: BadCell) -> UnreadableRow {
    UnreadableRow {
        client_id: row.text("client_id").ok(),
        id: row.uuid("id").ok(),
        ..bad.of("client")
    }
}

fn client_cells(row: &impl Cells) -> Cell<Client> {
    let lifetime = u32::try_from(row.integer("token_lifetime_seconds")?).unwrap_or(0);
    let grants = row.texts("grant_types")?;
    let client = Client {
        key: ClientKey(row.uuid("id")?),
        client_id: parsed("client_id", ClientId::parse(&row.text("client_id")?))?,
        name: row.text("name")?,
        state: parsed("state", ClientState::parse(&row.text("state")?))?,
        grants: parsed(
            "grant_types",
            grants.iter().map(|grant| GrantType::parse(grant)).collect(),
        )?,
        scopes: parsed("scopes", Scope::parse_set(row.texts("scopes")?))?,
        default_scopes: parsed("default_scopes", Scope::parse_set(row.texts("default_scopes")?))?,
        audiences: parsed("audiences", Audience::parse_set(row.texts("audiences")?))?,
        default_audience: row
            .maybe_text("default_audience")?
            .map(|name| parsed("default_audience", Audience::parse(&name)))
            .transpose()?,
        several_audiences: row.flag("several_audiences")?,
        serves: parsed("serves", Audience::parse_set(row.texts("serves")?))?,
        quota: ClientQuota {
            tokens_per_second: limit(row, "tokens_per_second")?,
            burst: limit(row, "token_burst")?,
            live_tokens: limit(row, "live_tokens")?,
        },
        token_lifetime: parsed("token_lifetime_seconds", TokenLifetime::from_seconds(lifetime))?,
        not_before: row.maybe_moment("not_before")?,
        created_at: row.moment("created_at")?,
        version: row.integer("version")?,
    };
    // Without a generation, the tokens of the client could not be revoked.
    row.integer("generation")?;
    Ok(client)
}

/// Reads a row of `client` with the columns that only administrators see. Owner and note are for
/// people and decide nothing, so they are taken as they are.
pub(super) fn client_record(row: &impl Cells) -> Readable<ClientRecord> {
    let about = || -> Cell<About> {
        Ok(About {
            labels: parsed("labels", Labels::parse(row.texts("labels")?))?,
            owner: row.text("owner")?,
            note: row.text("note")?,
            grantable: grantable(row)?,
        })
    };
    let client = client(row)?;
    let about = about().map_err(|bad| unreadable_client(row, bad))?;
    Ok(ClientRecord { client, about })
}

/// Reads a limit of the quota of a client; `None` for the default of the node.
fn limit(row: &impl Cells, column: &'static str) -> Cell<Option<QuotaLimit>> {
    let limit = row.maybe_integer(column)?.map(QuotaLimit::new).transpose();
    parsed(column, limit)
}

/// Reads a row of `client_secret`. Its columns `id`, `client` and `created_at` have the prefix
/// `secret_`.
pub(super) fn secret(row: &impl Cells) -> Readable<StoredSecret> {
    secret_cells(row)
        .map_err(|bad| UnreadableRow { id: row.uuid("secret_id").ok(), ..bad.of("client_secret") })
}

fn secret_cells(row: &impl Cells) -> Cell<StoredSecret> {
    Ok(StoredSecret {
        id: SecretId(row.uuid("secret_id")?),
        client: ClientKey(row.uuid("secret_client")?),
        hash: SecretHash::from_stored(row.text("hash")?),
        label: row.text("label")?,
        created_at: row.moment("secret_created_at")?,
        // An expiry of `infinity` means that the secret never expires.
        expires_at: row.maybe_moment("expires_at")?.filter(|end| *end != Timestamp::MAX),
        retired_at: row.maybe_moment("retired_at")?,
        leaked_at: row.maybe_moment("burnt_at")?,
        retiring: retiring(row)?,
        forgotten_at: row.maybe_moment("forgotten_at")?,
    })
}

fn retiring(row: &impl Cells) -> Cell<Option<Retiring>> {
    let kept_expiry = row.maybe_moment("kept_expires_at")?.filter(|end| *end != Timestamp::MAX);
    Ok(row.maybe_moment("retire_at")?.map(|at| Retiring { at, kept_expiry }))
}

/// Reads a client, joined with the requested secret if the client has it.
pub(super) fn found_client(row: &impl Cells) -> Readable<FoundClient> {
    let client = Arc::new(client(row)?);
    let credential = match row.maybe_uuid("secret_id") {
        Ok(None) => None,
        _ => Some(Arc::new(StoredCredential::Secret(secret(row)?))),
    };
    Ok(FoundClient { client, credential })
}

/// Reads the tokens that one statement found, each on its own. A row whose id cannot be read may
/// belong to any requested token that no other row matches. All of these are reported as faults,
/// because none of them is known to be missing.
pub(super) fn found_tokens(rows: &[impl Cells], asked: &[TokenId]) -> Vec<(TokenId, FoundOrFault)> {
    let mut found = Vec::with_capacity(rows.len());
    let mut nameless = None;
    for row in rows {
        match row.uuid("token_id") {
            Ok(id) => found.push((TokenId(id), found_token(row))),
            Err(bad) => nameless = Some(bad.of("access_token")),
        }
    }
    if let Some(fault) = nameless {
        let named: HashSet<_> = found.iter().map(|(id, _)| *id).collect();
        let missing = asked.iter().filter(|id| !named.contains(id));
        found.extend(missing.map(|id| (*id, Err(fault.clone().into()))));
    }
    found
}

fn found_token(row: &impl Cells) -> FoundOrFault {
    let of_token =
        |bad: BadCell| UnreadableRow { id: row.uuid("token_id").ok(), ..bad.of("access_token") };
    if !row.flag("is_installed").map_err(of_token)? {
        return Err(no_installation());
    }
    let of_installation = |bad: BadCell| bad.of("installation");
    let not_before = row.maybe_moment("installation_not_before").map_err(of_installation)?;
    let all = row.integer("installation_generation").map_err(of_installation)?;
    let token = token_cells(row).map_err(of_token)?;
    let client = Arc::new(client(row)?);
    let of_client = row.integer("generation").map_err(|bad| bad.of("client"))?;
    // Tokens issued by a version without generations have none. The sum is computed in `i128`,
    // because a manual edit may have stored values whose sum exceeds the column.
    let of_issue = row.maybe_integer("token_generation").map_err(of_token)?;
    let superseded =
        of_issue.is_some_and(|then| i128::from(then) < i128::from(of_client) + i128::from(all));
    Ok(FoundToken {
        digest: token.digest,
        credential: token.credential,
        facts: TokenFacts {
            id: token.id,
            granted: token.granted.left_to(&client),
            client,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            revoked: row.flag("revoked").map_err(of_token)?,
            credential_leaked: row.flag("credential_leaked").map_err(of_token)?,
            superseded,
            not_before,
        },
    })
}

fn token_cells(row: &impl Cells) -> Cell<AccessToken> {
    let digest = row.bytes("digest")?.try_into().map_err(|_| Malformed("a digest has 32 bytes"));
    let (issued_at, expires_at) = (row.moment("issued_at")?, row.moment("expires_at")?);
    // No token is issued with such times. This is checked here too, because the constraint that
    // forbids such a row may have been dropped.
    let longest = TokenLifetime::MAX.duration() + ROUNDED_UP;
    if expires_at <= issued_at || expires_at.since(issued_at) > longest {
        return Err(BadCell::new("expires_at", "a token lives for at most a day after issued_at"));
    }
    Ok(AccessToken {
        id: TokenId(row.uuid("token_id")?),
        digest: TokenDigest::from_bytes(parsed("digest", digest)?),
        client: ClientKey(row.uuid("client")?),
        credential: CredentialId(row.uuid("secret")?),
        granted: Arc::new(Granted {
            scopes: parsed("scopes", Scope::parse_set(row.texts("token_scopes")?))?,
            audiences: parsed("audiences", Audience::parse_set(row.texts("token_audiences")?))?,
        }),
        issued_at,
        expires_at,
    })
}

/// Reads a row of `audit`. With `is_sealed_later`, an empty hash means that the row is not sealed
/// yet.
pub(super) fn audit_entry(row: &impl Cells, is_sealed_later: bool) -> Readable<AuditEntry> {
    audit_cells(row, is_sealed_later).map_err(of_audit(row))
}

fn of_audit(row: &impl Cells) -> impl FnOnce(BadCell) -> UnreadableRow {
    let seq = row.integer("seq").ok();
    move |bad| UnreadableRow { seq, ..bad.of("audit") }
}

fn audit_cells(row: &impl Cells, is_sealed_later: bool) -> Cell<AuditEntry> {
    let waits = is_sealed_later && row.bytes("hash")?.is_empty();
    Ok(AuditEntry {
        seq: row.integer("seq")?,
        at: row.moment("at")?,
        actor: row.maybe_text("actor")?,
        login: row.maybe_text("login")?,
        action: row.text("action")?,
        client: row.maybe_uuid("client")?,
        client_id: row.maybe_text("client_id")?,
        subject: row.maybe_uuid("subject")?,
        detail: row.text("detail")?,
        hash: if waits { None } else { Some(audit_hash(row)?) },
    })
}

/// Reads the position and the hash of a sealed row of `audit`.
pub(super) fn audit_mark(row: &impl Cells) -> Readable<AuditMark> {
    let mark = || Ok(AuditMark { seq: row.integer("seq")?, hash: audit_hash(row)? });
    mark().map_err(of_audit(row))
}

fn audit_hash(row: &impl Cells) -> Cell<AuditHash> {
    let hash = row.bytes("hash")?.try_into().map(AuditHash);
    hash.map_err(|_| BadCell::new("hash", "the hash of a row has 32 bytes"))
}

impl Change {
    /// Converts the values of a row of `change`.
    pub(super) fn read(kind: &str, subject: Option<Uuid>) -> Self {
        match (kind, subject) {
            ("client", Some(id)) => Self::Client(ClientKey(id)),
            ("token", Some(id)) => Self::Token(TokenId(id)),
            // A later version of Jeton may write kinds that this one does not know.
            _ => Self::Everything,
        }
    }
}

/// Reads a row of `change`. One that cannot be read, for example because the changed row has a
/// malformed id, may concern anything.
pub(super) fn change(row: &impl Cells) -> Change {
    match (row.text("kind"), row.maybe_uuid("subject")) {
        (Ok(kind), Ok(subject)) => Change::read(&kind, subject),
        _ => Change::Everything,
    }
}

/// Converts the members of a set to texts for the database.
pub(super) fn texts<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}

/// Joins the members of a set with spaces. No member contains a space.
pub(super) fn joined<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> String {
    texts(set).join(" ")
}

#[cfg(test)]
mod tests;
