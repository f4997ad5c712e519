//! Domain types: each is validated once, by its parser, and checked nowhere else.
//!
//! This layer uses the terms of the RFCs and knows nothing of transports, databases or tasks.

mod actor;
mod administration;
mod audience;
mod audit;
mod client;
mod client_record;
mod clock;
mod credential;
mod error;
mod etag;
mod evidence;
mod foreign_secret;
#[cfg(test)]
mod formats;
mod grantable;
mod inactive_reason;
mod label;
mod lane;
mod node_clock;
mod page_token;
mod printable;
mod quota;
mod random;
mod request_key;
mod scope;
mod secret;
mod secret_hash;
mod secret_use;
mod tagged_text;
mod this_machine;
mod token;
mod token_facts;
mod token_request;

pub use actor::Actor;
pub use administration::{
    ADMINISTRATION, Permission, Permissions, includes_administration, is_administration_alone,
};
pub use audience::{Audience, MAX_AUDIENCES};
pub use audit::{
    AuditEntry, AuditHash, AuditMark, AuditReader, AuditSummary, DetailChange, Tampered, act,
    is_act, recorded_action,
};
pub use client::{
    Client, ClientId, ClientKey, ClientState, GrantType, MAX_NAME_LENGTH, TokenLifetime,
};
pub use client_record::{About, ClientRecord, FieldChange, FieldValue};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use credential::{CredentialId, PresentedCredential, StoredCredential};
pub use error::{Cause, Error, Malformed, SharedCause, chain};
pub use etag::Etag;
pub use evidence::{Advice, Evidence, Gap, Recorder, Successor, Verdict};
pub use foreign_secret::ForeignSecret;
pub use grantable::{AudiencePattern, Grantable, NotGrantable, ScopePattern};
pub use inactive_reason::InactiveReason;
pub use label::{DELETE_AFTER_LABEL, Label, LabelKey, Labels, MAX_LABELS, SET_LABEL};
pub use lane::{Lane, PerLane};
pub use node_clock::{CLOCK_TOLERANCE, ClockOffset, ClocksDisagree, NodeClock};
pub use page_token::{page_token, position_in};
pub use printable::{
    MAX_NOTE_LENGTH, MAX_OWNER_LENGTH, is_unprintable, parse_label, parse_name, parse_note,
    parse_owner, printable,
};
pub use quota::{
    ClientQuota, LimitChange, LimitState, Quota, QuotaChange, QuotaKind, QuotaLimit, QuotaMode,
    QuotaState,
};
pub use random::{OsRandom, Random, RandomFailed, SeededRandom, uuid_v4, uuid_v7};
pub use request_key::RequestKey;
pub use scope::{MAX_SCOPES, Scope};
pub use secret::{
    ClientSecret, MAX_LABEL_LENGTH, MAX_LIVE_SECRETS, Retiring, SecretId, SecretState, StoredSecret,
};
pub use secret_hash::{HashCost, HashCostCap, HashMemory, SecretHash};
pub use secret_use::{SecretUse, SourceUse, Span};
pub use tagged_text::{TagKey, TagKeys};
pub use this_machine::is_this_machine;
pub use token::{AccessToken, Granted, TokenDigest, TokenId, TokenText};
pub use token_facts::TokenFacts;
pub use token_request::TokenRequest;
